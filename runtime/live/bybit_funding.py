"""Tells funding from fills at Bybit, where both are executions and the adapter makes fills of both.

A funding payment of a position of 0.5 becomes the report of a fill of 0.5 of an order that nobody knows, and
a reconciliation may add it to the position (nautechsystems/nautilus_trader, issue 4937). These reports do not
say what kind an execution is, so the venue is asked about those of unknown orders.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from runtime.errors import VenueError
from runtime.live.bybit_rest import BybitRest

EXECUTIONS: Final = "/v5/execution/list"
FUNDING: Final = "Funding"
PAGE: Final = 100
AGAIN_SECS: Final = 0.5
MS: Final = 1_000_000
WEEK_MS: Final = 7 * 86_400_000


class FundingFilter:
    """Finds out which executions are funding.

    Parameters
    ----------
    rest
        Asks the venue.
    warn
        Told when the venue does not answer.
    """

    def __init__(self, rest: BybitRest, warn: Callable[[str], Any]) -> None:
        self._rest, self._warn = rest, warn

    async def is_funding(self, exec_id: str, ts_ns: int) -> bool:
        """Tell whether an execution of the private stream is funding; ask until the venue knows it.

        Parameters
        ----------
        exec_id
            Its id.
        ts_ns
            Its time, UNIX nanoseconds.
        """
        asked = {"category": "linear", "startTime": str(ts_ns // MS - 1), "limit": str(PAGE)}
        is_told = False
        while True:
            try:
                rows = (await self._rest.get(EXECUTIONS, asked))["list"]
            except VenueError as error:
                if not is_told:
                    is_told = True
                    self._warn(f"execution {exec_id} waits, nobody knows whether it is funding: {error}")
                rows = []
            found = next((row for row in rows if row["execId"] == exec_id), None)
            if found is not None:
                return bool(found.get("execType") == FUNDING)
            await asyncio.sleep(AGAIN_SECS)

    async def ids(self, since_ms: int, until_ms: int) -> set[str]:
        """Return the ids of the funding executions of a span, UNIX milliseconds.

        Raises
        ------
        VenueError
            When the venue did not answer.
        """
        return {row["execId"] for row in await self.rows(since_ms, until_ms)}

    async def rows(self, since_ms: int, until_ms: int) -> list[dict[str, Any]]:
        """Return the funding executions of a span, UNIX milliseconds, as the venue writes them.

        Raises
        ------
        VenueError
            When the venue did not answer.

        References
        ----------
        Bybit, "Get Trade History": at most seven days between start and end.
        """
        found: list[dict[str, Any]] = []
        for first_ms in range(since_ms, until_ms + 1, WEEK_MS):
            last_ms = min(first_ms + WEEK_MS - 1, until_ms)
            asked = {"category": "linear", "execType": FUNDING, "limit": str(PAGE)}
            asked |= {"startTime": str(first_ms), "endTime": str(last_ms)}
            cursor = ""
            while True:
                answer = await self._rest.get(EXECUTIONS, asked | ({"cursor": cursor} if cursor else {}))
                found += [row for row in answer["list"] if row.get("execType") == FUNDING]
                cursor = answer.get("nextPageCursor") or ""
                if not cursor or not answer["list"]:
                    break
        return found


__all__ = ["EXECUTIONS", "FUNDING", "FundingFilter"]
