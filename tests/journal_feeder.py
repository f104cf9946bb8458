"""Stand-in for a live session: a process that journals scripted records as fast as it can, to be killed.

``python -m tests.journal_feeder SPOOL SESSION [COUNT]``: after every append its number goes to stdout, eight
bytes little-endian by one write: what stands there was promised.
"""

import os
import sys
from pathlib import Path

from msgspec import structs

from runtime.journal.records import SessionEnd
from runtime.journal.session import SessionJournal
from tests.journal_records import START, scripted


def main(spool: str, session_id: str, count: str = "0") -> None:
    """Append until killed, or `count` records and the end."""
    # Every session tells the same story; trades that repeat belong to backtests alone.
    start = structs.replace(START, mode="backtest")
    journal = SessionJournal(Path(spool), session_id, start, segment_bytes=1 << 16, reserve_bytes=0)
    number = 0
    os.write(1, (0).to_bytes(8, "little"))
    while not int(count) or number < int(count):
        number += 1
        journal.append(scripted(number))
        os.write(1, number.to_bytes(8, "little"))
    journal.end(SessionEnd(ts_ns=1, reason="stopped"))


if __name__ == "__main__":
    main(*sys.argv[1:])
