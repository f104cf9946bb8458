"""The structure engine: one causal pass over closed bars that finds every structure of the system."""

from indicators.structure_config import StructureConfig

__all__ = ["StructureConfig"]
