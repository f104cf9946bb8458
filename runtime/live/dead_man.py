"""The dead man's switch: the venue takes entries back when it does not hear from the node any more.

Binance USD-M counts down per symbol and cancels every plain order of it, the reduce-only target included; the
stop is an algo order and is documented nowhere to survive or to be cancelled. Bybit cancels all orders of a
product when the private stream is gone. Both could take the exits of a position, so both are off until a
person has seen on the venue's testnet what stays (docs/risk-and-commands.md), and a symbol with a position is
not counted down unless the settings say that its stop survives.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from runtime.errors import OperatorError
from runtime.live.dead_man_settings import DeadManSettings
from runtime.live.signed_calls import SignedCalls

COUNTDOWN_PATH: Final = "/fapi/v1/countdownCancelAll"
COUNTDOWN_WEIGHT: Final = 10
# Weight per minute of USD-M, and requests of Bybit per second.
USDM_LIMIT: Final = 2_400
BYBIT_LIMIT: Final = 5
DCP_PATH: Final = "/v5/order/disconnected-cancel-all"
DCP_QUERY_PATH: Final = "/v5/account/query-dcp-info"
PRODUCTS: Final = {"linear": "DERIVATIVES", "spot": "SPOT"}

type DcpState = Literal["off", "armed", "not available", "failed"]


@dataclass(frozen=True, slots=True)
class Countdown:
    """One request: count down for a symbol, 0 ms to stop."""

    symbol: str
    window_ms: int


class CountdownPlan:
    """Which symbols are counted down now. Pure: the time is an argument.

    Parameters
    ----------
    settings
        See `DeadManSettings`.

    Examples
    --------
    >>> plan = CountdownPlan(DeadManSettings(binance_usdm=True))
    >>> plan.due(0.0, {"XRPUSDT"})
    [Countdown(symbol='XRPUSDT', window_ms=120000)]
    >>> plan.answered(Countdown("XRPUSDT", 120_000), 0.0)
    >>> plan.due(10.0, {"XRPUSDT"}), plan.due(10.0, set())
    ([], [Countdown(symbol='XRPUSDT', window_ms=0)])
    """

    def __init__(self, settings: DeadManSettings) -> None:
        self._settings = settings
        self._beat_s: dict[str, float] = {}

    @property
    def armed(self) -> tuple[str, ...]:
        """Return the symbols that the venue may be counting down."""
        return tuple(sorted(self._beat_s))

    def due(self, now_s: float, resting: Iterable[str], held: Iterable[str] = ()) -> list[Countdown]:
        """Return the requests to send now.

        Parameters
        ----------
        now_s
            Monotonic seconds.
        resting
            Symbols with an entry at the venue.
        held
            Symbols with a position.
        """
        wanted = set(resting)
        if not self._settings.stop_survives:
            wanted -= set(held)
        window_ms = self._settings.window_secs * 1000
        stop = [Countdown(symbol, 0) for symbol in self.armed if symbol not in wanted]
        beats = [
            Countdown(symbol, window_ms)
            for symbol in sorted(wanted)
            if now_s - self._beat_s.get(symbol, -1e9) >= self._settings.heartbeat_secs
        ]
        return [*stop, *beats]  # stops first: a countdown that runs on takes the exits of a position

    def sent(self, request: Countdown) -> None:
        """Note a request that goes out: from now on the venue may be counting, whatever it answers."""
        if request.window_ms:
            self._beat_s.setdefault(request.symbol, -1e9)

    def answered(self, request: Countdown, now_s: float) -> None:
        """Note that the venue has taken a request."""
        if request.window_ms:
            self._beat_s[request.symbol] = now_s
        else:
            self._beat_s.pop(request.symbol, None)


class UsdmCountdown:
    """Sends what a `CountdownPlan` wants.

    Parameters
    ----------
    settings
        See `DeadManSettings`.
    calls
        To Binance USD-M with the account's keys.
    warn
        Told of what failed; the next heartbeat tries again.

    References
    ----------
    Binance, USD-M futures, "Auto-Cancel All Open Orders": POST /fapi/v1/countdownCancelAll, weight 10.
    """

    def __init__(self, settings: DeadManSettings, calls: SignedCalls, warn: Callable[[str], Any]) -> None:
        self.plan = CountdownPlan(settings)
        self._calls, self._warn = calls, warn
        self._is_busy = False

    async def beat(self, now_s: Callable[[], float], resting: Iterable[str], held: Iterable[str]) -> None:
        """Send what is due now, one after the other; nothing while an earlier beat is still at it."""
        if self._is_busy:
            return
        self._is_busy = True
        try:
            for request in self.plan.due(now_s(), resting, held):
                await self._send(request, now_s)
        finally:
            self._is_busy = False

    async def stop(self, now_s: Callable[[], float]) -> None:
        """Stop every countdown: the node ends in order and has taken its entries back."""
        await self.beat(now_s, (), ())

    async def _send(self, request: Countdown, now_s: Callable[[], float]) -> None:
        self.plan.sent(request)
        params = {"symbol": request.symbol, "countdownTime": str(request.window_ms)}
        try:
            await self._calls.binance(COUNTDOWN_PATH, params, COUNTDOWN_WEIGHT)
        except OperatorError as error:
            self._warn(f"{request.symbol} countdown of {request.window_ms} ms: {error}")
        else:
            self.plan.answered(request, now_s())


async def arm_bybit(calls: SignedCalls, market: str, settings: DeadManSettings) -> tuple[DcpState, str]:
    """Set Bybit's disconnect-cancel where the account has it; return its state and words for the log.

    Parameters
    ----------
    calls
        To Bybit with the account's keys.
    market
        ``linear`` or ``spot``.
    settings
        See `DeadManSettings`.

    Notes
    -----
    The venue acts when the private stream that subscribes the topic ``dcp`` is gone. Nautilus' adapter
    subscribes no such topic: the state says what is set, not that it would fire.

    References
    ----------
    Bybit, version 5, "Set Disconnect Cancel All" and "Get DCP Info".
    """
    if not settings.bybit:
        return "off", "disconnect-cancel is off by the settings"
    product = PRODUCTS[market]
    try:
        known = await calls.bybit("GET", DCP_QUERY_PATH, {})
        states = {one.get("product"): one.get("dcpStatus") for one in known.get("dcpInfos", ())}
        if states.get(product) != "ON":
            return "not available", f"disconnect-cancel of {product} is not switched on for this account"
        await calls.bybit("POST", DCP_PATH, {"product": product, "timeWindow": settings.window_secs})
    except OperatorError as error:
        return "failed", str(error)
    return "armed", (
        f"disconnect-cancel of {product} is set to {settings.window_secs} s; it takes a private stream with "
        "the topic dcp, which the adapter does not subscribe"
    )
