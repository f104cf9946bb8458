"""Learns why an account holds less than a setup, before anything is booked.

Three things may be told in any order, or not at all: our own fill, somebody else's, and the balance that is
left. So the venue is asked for what has not come: its balance, and its trades, ours and theirs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

from runtime.live.balance_check import BalanceCheck

type AskTrades = Callable[[Any, int], Awaitable[None]]
"""``await ask(instrument_id, since_ns)`` returns when the node knows the venue's trades of now; or raises."""

# How often the venue is asked, and how long its messages have to come before each time.
LOOKS: Final = 4
ARRIVE_SECS: Final = 0.5
POLL_SECS: Final = 0.05
ANSWER_SECS: Final = 3.0


class MissingCoins:
    """Waits and asks until what is missing is explained, but not for ever.

    Parameters
    ----------
    balances
        Asks for the balance.
    ask_trades
        Asks for the trades.
    tell
        Says something to log and people.
    """

    def __init__(self, balances: BalanceCheck, ask_trades: AskTrades, tell: Callable[[str], None]) -> None:
        self._balances = balances
        self._ask_trades = ask_trades
        self._tell = tell

    async def may_book(self, desk: Any) -> bool:
        """Tell whether what is missing now (`KeptDesk.missing_qty`) is so by the venue's own word.

        True as well when nothing is missing, or when the venue's trades do not explain it. False where
        nobody knows what the account holds; and while an exit of ours is alive and the trades cannot be had,
        for what is missing may be what that exit sold.
        """
        await _let_arrive(desk)
        if _agrees(desk) and not desk.has_living_exit():
            return True  # balance and sale have both come, and nobody else can have sold it
        failure = ""
        for _ in range(LOOKS):
            # After a sale by others the balance known here is the one of before it, as often as not.
            theirs = desk.strange_fills()
            if not await self._balances.is_known(desk, is_doubted=bool(theirs)):
                return False
            if not desk.missing_qty():
                desk.set_aside(theirs)
                return True
            failure = await self._hear_trades(desk)
            if not desk.missing_qty() or (_is_explained(desk) and not (failure and desk.has_living_exit())):
                return True
            await _let_arrive(desk)
        if failure:
            self._tell(
                f"{desk.instrument_id}: the trades that explain what is missing are not known: {failure}"
            )
        return not (failure and desk.has_living_exit())

    async def _hear_trades(self, desk: Any) -> str:
        """Ask for the trades since the entry; return what went wrong."""
        try:
            async with asyncio.timeout(ANSWER_SECS):
                await self._ask_trades(desk.instrument_id, desk.setup.ledger.entry_ts_ns)
        except Exception as error:  # whatever it was: they are not known
            return f"{type(error).__name__}: {error}"
        return ""


def _is_explained(desk: Any) -> bool:
    """Tell whether what others are known to have sold comes to what is missing, if anything is."""
    missing = desk.missing_qty()
    return bool(not missing or missing - _sold(desk) < desk.market.lot_size)


def _agrees(desk: Any) -> bool:
    """Tell whether coins are missing, and exactly so many as others are known to have sold."""
    missing = desk.missing_qty()
    return bool(missing and abs(missing - _sold(desk)) < desk.market.lot_size)


def _sold(desk: Any) -> Decimal:
    return sum((one.qty for one in desk.strange_fills()), Decimal(0))


async def _let_arrive(desk: Any) -> None:
    """Wait for our own fills, of which the account is told before the setup is; and for their other half.

    That is the balance after a sale by others, or the sale after the balance.
    """
    waited_secs = 0.0
    while (desk.missing_qty() or desk.strange_fills()) and waited_secs < ARRIVE_SECS and not _agrees(desk):
        await asyncio.sleep(POLL_SECS)
        waited_secs += POLL_SECS


__all__ = ["AskTrades", "MissingCoins"]
