"""Lets Python look for garbage between the things that a node handles, and not within them.

The interpreter looks after so many new objects, so it does within what makes many: often between a fill and
its stop, for 0.3 to 4 ms. The loop looks by itself a hundred times a second; what was there at the start is
looked at no more.
"""

import asyncio
import gc
from typing import Final

# New objects before the young, young looks before the middle-aged, those before all are looked at.
THRESHOLDS: Final = (1_000, 5, 400)
# A loop that does not come round, as in a burst that it hands over in one go, leaves it to the interpreter.
BY_ITSELF: Final = (50_000, *THRESHOLDS[1:])
LOOK_SECS: Final = 0.01


def look_between(loop: asyncio.AbstractEventLoop) -> None:
    """Tell the garbage collector that what is there will not go away, and look at the rest by the loop.

    It would look at all modules, settings and instruments again and again, and nothing else happens
    meanwhile: 150 to 220 ms each time were measured in a node on twenty instruments, and trades and fills
    waited. What comes later is looked at in small portions, and all of it rarely: that takes 30 to 60 ms
    after minutes of busy trading.

    Parameters
    ----------
    loop
        Of the node, in whose thread this is called; looks end with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*BY_ITSELF)

    def look() -> None:
        collect_due()
        loop.call_later(LOOK_SECS, look)

    loop.call_later(LOOK_SECS, look)


def collect_due() -> int:
    """Look for garbage where `THRESHOLDS` say so; return in which generation, -1 for none."""
    counts = gc.get_count()
    if counts[0] <= THRESHOLDS[0]:
        return -1
    oldest = 0
    while oldest < len(counts) - 1 and counts[oldest + 1] > THRESHOLDS[oldest + 1]:
        oldest += 1
    gc.collect(oldest)
    return oldest


__all__ = ["collect_due", "look_between"]
