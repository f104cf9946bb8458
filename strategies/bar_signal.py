"""What a strategy on closed bars sees and says, in plain numbers: a candle in, a signal out."""

from dataclasses import dataclass
from decimal import Decimal

from strategies.signal import Signal
from strategies.trade_manager.increments import floor_to
from strategies.trade_manager.targets import atr_stop_and_target


@dataclass(frozen=True, slots=True)
class Candle:
    """A closed bar.

    Parameters
    ----------
    instrument_id
        Nautilus id.
    open_ns, close_ns
        When it opened and closed, UNIX nanoseconds; it is known from its close on.
    open, high, low, close
        Quote currency.
    volume
        Base currency.
    """

    instrument_id: str
    open_ns: int
    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def atr_signal(
    candle: Candle,
    direction: int,
    atr: float,
    *,
    stop_atr: float,
    target_atr: float,
    tick_size: Decimal,
    confidence: float,
    metadata: dict[str, str | int | float] | None = None,
) -> Signal | None:
    """Return a signal at the close of a candle, with stop and target at multiples of the ATR.

    Parameters
    ----------
    candle
        The bar that completed it.
    direction
        +1 long, -1 short.
    atr
        Average true range of closed bars, quote currency; NaN while it is not known.
    stop_atr, target_atr
        Distances from the close in ATRs, > 0.
    tick_size
        Price increment.
    confidence
        0 to 1.
    metadata
        Whatever else should be on record.

    Returns
    -------
    Signal or None
        None without an ATR, or where so small a one leaves no tick between entry and exits, or so large a one
        puts an exit below the first tick.

    Examples
    --------
    >>> candle = Candle("XRPUSDT.BINANCE", 0, 60, open=0.99, high=1.01, low=0.99, close=1.0, volume=5.0)
    >>> signal = atr_signal(candle, -1, 0.01, stop_atr=1.0, target_atr=2.0, tick_size=Decimal("0.001"),
    ...                     confidence=0.5)
    >>> signal.side, str(signal.stop), str(signal.target)
    ('short', '1.010', '0.980')
    """
    if not 0 < atr < float("inf"):
        return None
    entry = floor_to(candle.close, tick_size)
    stop, target = atr_stop_and_target(
        direction, entry, atr, stop_atr=stop_atr, target_atr=target_atr, tick_size=tick_size
    )
    low, high = (stop, target) if direction > 0 else (target, stop)
    if not 0 < low < entry < high:
        return None
    return Signal(
        instrument_id=candle.instrument_id,
        ts_ns=candle.close_ns,
        side="long" if direction > 0 else "short",
        entry=entry,
        stop=stop,
        target=target,
        confidence=confidence,
        metadata=metadata or {},
    )
