"""Pure: closed bars in, market structure out."""
