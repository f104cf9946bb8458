"""``python -m tests.flooded_node``: a node of the tests that tells 10,000 events a second.

It does so while a file is there, which a variable names, and beside what it tells anyway: by the node's own
publisher, in the node's own thread. Every tenth is a line of the log, which nothing conflates; the others are
developing buckets. How much it told is written beside the file.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.faults.node import add_strategies, mark_compiled
from ui import protocol as p
from ui.telemetry.publisher import TelemetryPublisher

FILE_VARIABLE: Final = "SMCBOT_TEST_FLOOD_FILE"
RATE: Final = 10_000
TURN_SECS: Final = 0.001
# In one turn of the loop; a node that is behind by more leaves the rest out, and its rate shows it.
MOST_AT_ONCE: Final = 100
LINE_EVERY: Final = 10
INSTRUMENT: Final = "BTCUSDT-PERP.BINANCE"


class FloodingPublisher(TelemetryPublisher):
    """Tells much more than happens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = Path(os.environ[FILE_VARIABLE])
        self._begun_s = 0.0
        self._told = self._left_out = 0

    def answer_newcomers(self, ts_ns: int) -> bool:
        """Begin or end, twenty times a second."""
        is_wanted = self._file.exists()
        if is_wanted and not self._begun_s:
            self._begun_s, self._told, self._left_out = time.perf_counter(), 0, 0
            asyncio.get_running_loop().call_soon(self._tell)
        elif not is_wanted and self._begun_s:
            rate = self._told / (time.perf_counter() - self._begun_s)
            self._begun_s = 0.0
            self._file.with_suffix(".rate").write_text(f"{rate:.0f}")
        return super().answer_newcomers(ts_ns)

    def _tell(self) -> None:
        if not self._begun_s:
            return
        due = int((time.perf_counter() - self._begun_s) * RATE) - self._told - self._left_out
        for _ in range(min(due, MOST_AT_ONCE)):
            self._tell_one(time.time_ns())
        self._left_out += max(0, due - MOST_AT_ONCE)
        asyncio.get_running_loop().call_later(TURN_SECS, self._tell)

    def _tell_one(self, now_ns: int) -> None:
        self._told += 1
        now = now_ns // 1_000_000
        if self._told % LINE_EVERY == 0:
            line = p.LogLine(ts=now, level="INFO", src="flood", text=str(self._told))
            self.publish("log", line, now_ns)
            return
        bucket = p.Developing(
            ins=INSTRUMENT, i=0, t0=now, t1=now, o=5e4, h=5e4, l=5e4, c=5e4, v=1.0, bv=1.0, sv=0.0,
            n=self._told, imb=1.0, vpin=None, vol=None, p=None, dir=0, tainted=False, fill=0.5,
        )  # fmt: skip
        self.publish("dev", bucket, now_ns)


if __name__ in ("__main__", "__mp_main__"):  # a child of the node, which compiles the kernels, too
    add_strategies()

if __name__ == "__main__":
    mark_compiled()
    from live_node import main
    from runtime.live import telemetry

    vars(telemetry)["TelemetryPublisher"] = FloodingPublisher
    sys.exit(main())
