"""What the terminal asks of catalogs, strategies and the paper account; its server never imports these."""
