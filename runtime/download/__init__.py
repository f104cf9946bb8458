"""The file formats of trade and kline archives: files in, arrays out, no Nautilus types."""
