"""Strategies: what to trade, when, and how a position is protected."""
