"""The fault matrix: every row of docs/fault-matrix.md is a test with a whole node and the local exchange."""
