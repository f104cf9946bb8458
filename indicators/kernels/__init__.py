"""Arithmetic of the market structure, compiled."""
