"""Breaks of structure and changes of character, internal and external."""

from indicators.concept import ConceptDetector
from indicators.events import EventKind


class StructureDetector(ConceptDetector):
    """BOS and CHoCH of both structures, known at the close of the breaking bar."""

    KINDS = frozenset({EventKind.BOS, EventKind.CHOCH})
