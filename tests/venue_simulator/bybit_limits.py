"""Bybit's request limits: so many per rolling second for each endpoint and user, told in three headers.

Where they come from: Bybit v5 "Rate Limit Rules" (tables of the unified account; headers; code 10006).
"""

from collections import deque
from typing import Final

from tests.venue_simulator.bybit_codes import BybitError

SECOND_MS: Final = 1_000
# Path below /v5/ -> (linear, spot) requests a second. A path without an entry has no limit of its own.
PER_SECOND: Final[dict[str, tuple[int, int]]] = {
    "order/create": (10, 20),
    "order/amend": (10, 10),
    "order/cancel": (10, 20),
    "order/cancel-all": (10, 20),
    "order/create-batch": (10, 20),
    "order/amend-batch": (10, 20),
    "order/cancel-batch": (10, 20),
    "order/disconnected-cancel-all": (5, 5),
    "order/realtime": (50, 50),
    "order/history": (50, 50),
    "execution/list": (50, 50),
    "position/list": (50, 50),
    "position/set-leverage": (10, 10),
    "position/switch-mode": (10, 10),
    "account/wallet-balance": (50, 50),
    "account/fee-rate": (5, 5),
    "account/info": (50, 50),
    "account/query-dcp-info": (5, 5),
    "user/query-api": (10, 10),
}


class RollingLimits:
    """Counts the requests of the last second, for each path and category."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], deque[int]] = {}

    def take(self, path: str, category: str, now_ms: int, units: int = 1) -> dict[str, str]:
        """Count a request (a batch counts its orders) and return the headers of its answer.

        Raises
        ------
        BybitError
            10006, with the same headers as its `headers`.
        """
        limits = PER_SECOND.get(path)
        if limits is None:
            return {}
        limit = limits[1] if category == "spot" else limits[0]
        sent = self._sent.setdefault((path, category), deque())
        while sent and sent[0] <= now_ms - SECOND_MS:
            sent.popleft()
        if len(sent) + units > limit:
            error = BybitError(10006, "Too many visits!")
            error.headers = headers(limit, 0, (sent[0] if sent else now_ms) + SECOND_MS)
            raise error
        sent.extend([now_ms] * units)
        return headers(limit, limit - len(sent), now_ms)


def headers(limit: int, left: int, reset_ms: int) -> dict[str, str]:
    """Return the three headers of a limit."""
    return {
        "X-Bapi-Limit": str(limit),
        "X-Bapi-Limit-Status": str(left),
        "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
    }
