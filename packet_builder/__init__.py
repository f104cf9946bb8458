"""Pure: trades in, equal-dollar volume buckets ("packets") out."""
