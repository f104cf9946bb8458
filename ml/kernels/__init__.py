"""Compiled loops of the model: arrays in, arrays out."""
