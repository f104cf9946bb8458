"""``python -m tests.faults.page`` writes docs/fault-matrix.md from docs/faults.json."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.faults.rows import MISSING, ROWS

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
JSON_FILE: Final = DOCS / "faults.json"
PAGE_FILE: Final = DOCS / "fault-matrix.md"
HEAD: Final = """# The fault matrix

Written by `make faults` from `docs/faults.json`; do not edit. Each row is a test with whole `live_node.py`
processes, Nautilus' real adapters and the [local exchange](venue-simulator.md); `pytest -m fault -k F07` runs
one row. The cuts of ten minutes and the hour of F26 are measured by `make soak`. Every test ends with the
same comparison: orders, fills and trades of the journal are the venue's own to the last unit, no client order
id was sent twice, no order of ours is orphaned, and what is held is covered by a stop.

*unprotected* is the longest time, by the venue's own records, in which a position had no exit that covers it;
*watchdog* is what the node measured itself. The limit is 2 s beside outage, and outage is: the length of a
cut (F01), and after a kill (F07, F08) of a position that nothing protects, the time in which nobody runs
(*dead*, from the kill to the next start) and the next start until its first exit is at the venue (*start to
exit*). That one has a limit of its own: 5 s, half a second for the round trips, and *waited for a core*,
which is what the kernel counts for the node's main thread as ready to run and without a core: the matrix
runs two tests at once on two cores. Starts that are measured alone are in [benchmarks](benchmarks.md).

Spot has no order that is stop and target at once: the venue locks the coins for one of them. While the
target's limit order rests, `exit_market_after_secs` (5 s) at the longest, the position has no stop; then it
is closed at market. The target counts as an exit that covers, *without stop* is the time if it did not,
where that is longer.
"""


def page_of(content: dict[str, Any]) -> str:
    """Return the page."""
    rows = content["rows"]
    passed = sum(one["result"] == "pass" for one in rows)
    lines = [HEAD, f"{passed} of {len(rows)} tests pass.", ""]
    lines += ["| row | venue | what was done | measured | result |", "|---|---|---|---|---|"]
    for name, title in ROWS.items():
        own = [one for one in rows if one["row"][:3] == name]
        lines += [_line(one, title) for one in own]
        if not own:
            lines.append(f"| {name} {title} | - | - | - | not run: {MISSING.get(name, 'no result yet')} |")
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any], title: str) -> str:
    result = row["result"] if row["result"] == "pass" else f"**no**: {row.get('reason', '')}"
    name = f"{row['row'][:3]} {title}{row['row'][3:]}"
    cells = (name, row["venue"], row["done"], _measured(row["measured"]), f"{result} ({row['seconds']:g} s)")
    return f"| {' | '.join(' '.join(str(one).replace('|', '/').split()) for one in cells)} |"


def _measured(measured: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in measured.items())


def _text(value: Any) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(map(str, value)) or "none"
    return str(value)


def main() -> int:
    """Write the page."""
    PAGE_FILE.write_text(page_of(json.loads(JSON_FILE.read_text())), encoding="utf-8")
    print(PAGE_FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
