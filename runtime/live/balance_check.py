"""Asks a venue what an account really has before coins that seem to be missing are booked as sold.

What the node knows of a spot account is what the venue's messages told, and one of them can be lost without
any break of the stream. The coins of an entry are then in the account, and the node does not see them. Who
took that for a sale by somebody else would withdraw the stop of a position that is there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from strategies.entry_halt import HOLD_TOPIC, RELEASE_TOPIC, HoldEntries, ReleaseEntries

type AskBalance = Callable[[Any], Awaitable[None]]
"""``await ask(instrument_id)`` returns when the venue has told the balance of now; it raises otherwise."""

SOURCE: Final = "balance"
ANSWER_SECS: Final = 10.0


class BalanceCheck:
    """Compares with a balance that was asked for, and holds entries while there is no answer.

    Parameters
    ----------
    ask
        Asks the venue.
    publish
        ``publish(topic, message)`` on the bus of the node.
    now_ns
        The node's clock, UNIX nanoseconds.
    tell
        Says something to log and people.
    """

    def __init__(
        self,
        ask: AskBalance,
        publish: Callable[[str, Any], None],
        now_ns: Callable[[], int],
        tell: Callable[[str], None],
    ) -> None:
        self._ask = ask
        self._publish = publish
        self._now_ns = now_ns
        self._tell = tell
        self._held: set[str] = set()

    async def is_known(self, desk: Any, *, is_doubted: bool = False) -> bool:
        """Ask about coins that a setup misses (spot); False while nobody answers, and entries are held.

        Positions of contracts come from the venue's own reports: they are not asked for again.

        Parameters
        ----------
        desk
            Of the setup.
        is_doubted
            Some may be missing of which the account has not told yet: it is asked in any case.
        """
        name = desk.instrument_id.value
        if desk.account_kind() == "cash" and (is_doubted or desk.missing_qty()):
            try:
                async with asyncio.timeout(ANSWER_SECS):
                    await self._ask(desk.instrument_id)
            except Exception as error:  # whatever it was: the balance is not known
                self._hold(name, desk.missing_qty(), error)
                return False
        if name in self._held:
            self._held.discard(name)
            self._publish(
                RELEASE_TOPIC, ReleaseEntries(ts_ns=self._now_ns(), source=SOURCE, instrument_id=name)
            )
        return True

    def _hold(self, name: str, missing: Any, error: Exception) -> None:
        if name in self._held:
            return
        self._held.add(name)
        reason = f"the account seems to hold {missing} less than our setup, and the venue does not answer"
        self._publish(
            HOLD_TOPIC,
            HoldEntries(ts_ns=self._now_ns(), source=SOURCE, reason=reason, instrument_id=name),
        )
        self._tell(f"{name}: {reason} ({type(error).__name__}: {error}); its stop stays, it is asked again")


async def ask_client(client: Any) -> None:
    """Let an execution client report its account; it has when this returns."""
    update = getattr(client, "_update_account_state", None)
    if update is None:
        client.query_account(None)  # a simulated venue's account is at hand
    else:
        await update()


__all__ = ["ANSWER_SECS", "SOURCE", "AskBalance", "BalanceCheck", "ask_client"]
