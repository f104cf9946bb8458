"""``python -m tests.faults.node``: `live_node.py` with the strategies of `tests/faults/strategies` too."""

import sys
from pathlib import Path
from typing import Final

import strategies

FOLDER: Final = Path(__file__).parent / "strategies"


def add_strategies() -> None:
    """Let the registry find the strategies of the tests."""
    if str(FOLDER) not in strategies.__path__:
        strategies.__path__.append(str(FOLDER))


if __name__ == "__main__":
    add_strategies()
    from live_node import main

    sys.exit(main())
