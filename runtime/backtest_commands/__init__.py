"""The commands of `backtest_node.py`, one module each."""
