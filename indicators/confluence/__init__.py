"""The kline scorer: reasons for a long and for a short at each closed bar, from three timeframes."""
