"""Arithmetic of the buckets, compiled."""
