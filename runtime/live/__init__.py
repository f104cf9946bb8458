"""Paper and live: the node around the same strategies that a backtest runs."""
