"""Figures of a running node for Prometheus: read from its objects when somebody asks, on loopback only."""
