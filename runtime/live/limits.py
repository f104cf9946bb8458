"""Section `limits` of the settings: what an account may risk, whatever a strategy wants.

The same figures go to two places. The desks ask :class:`strategies.entry_limits.EntryLimits` before each
entry, in backtest, paper and live alike; Nautilus' risk engine is the second fence behind it.

The engine's own limits meet exits as well: a rate that refused a protective stop, or the state ``HALTED``,
which refuses every order but a cancellation, would leave a position naked. So its rates are a backstop far
above what entries may use, and its state is ``REDUCING`` where nothing may be opened, never ``HALTED``
(docs/risk-and-commands.md).
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, Struct

from strategies.entry_limits import EntryLimits, LimitRules
from strategies.guards import LossRules
from strategies.price_band import BandRules

if TYPE_CHECKING:
    from nautilus_trader.live.config import LiveRiskEngineConfig

type Pct = Annotated[float, Meta(ge=0, lt=100)]
# Orders per second that the risk engine passes at least: the exits of a hundred positions at once.
LEAST_RATE: Final = 100
# Of the engine's limit per order, which exits meet too, over that of the desks.
EXIT_ROOM: Final = 4


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of each account of a node; 0, null or an empty list switches one off.

    Parameters
    ----------
    allowed_instruments
        The only ones that may be entered, Nautilus ids; empty allows what the strategies trade.
    max_symbol_notional
        Position and waiting entries of one instrument, quote currency.
    symbol_notionals
        The same for single instruments, by id.
    max_account_notional
        Position and waiting entries of all instruments of one venue, quote currency.
    max_entries_per_min
        Entries within any 60 seconds, all strategies together.
    price_band_pct
        Farthest that an entry's price and the last trade may be from the median of the last 21 trades, and
        from the mark price where the venue sends one, percent. Prints beyond it taint their bucket.
    max_daily_loss_pct
        Loss of an account since midnight UTC that ends its day, percent.
    max_drawdown_pct
        Loss from the highest equity that ends trading until a rearm, percent.
    max_orders_per_sec, max_changes_per_sec
        Of Nautilus' risk engine, exits included: at least 100, because it would refuse stops as well.
    """

    allowed_instruments: tuple[str, ...] = ()
    max_symbol_notional: Decimal = Decimal(0)
    symbol_notionals: dict[str, Decimal] = {}
    max_account_notional: Decimal = Decimal(0)
    max_entries_per_min: Annotated[int, Meta(ge=0, le=100_000)] = 60
    price_band_pct: Pct = 10.0
    max_daily_loss_pct: Pct = 0.0
    max_drawdown_pct: Pct = 0.0
    max_orders_per_sec: Annotated[int, Meta(ge=LEAST_RATE, le=10_000)] = LEAST_RATE
    max_changes_per_sec: Annotated[int, Meta(ge=LEAST_RATE, le=10_000)] = LEAST_RATE

    def __post_init__(self) -> None:
        for name, amount in (
            ("max_symbol_notional", self.max_symbol_notional),
            ("max_account_notional", self.max_account_notional),
            *((f"symbol_notionals.{name}", amount) for name, amount in self.symbol_notionals.items()),
        ):
            if not amount.is_finite() or not 0 <= amount <= Decimal(10) ** 12:
                raise ValueError(f"{name} {amount} must be between 0 (off) and 1,000,000,000,000")
        for name in (*self.allowed_instruments, *self.symbol_notionals):
            if "." not in name:
                raise ValueError(f"{name!r} is no instrument id: expected for example XRPUSDT.BINANCE")

    @property
    def rules(self) -> LimitRules:
        """Return them as the desks ask them."""
        return LimitRules(
            allowed=frozenset(self.allowed_instruments),
            max_symbol_notional=self.max_symbol_notional,
            max_account_notional=self.max_account_notional,
            symbol_notionals=tuple(sorted(self.symbol_notionals.items())),
            max_entries_per_min=self.max_entries_per_min,
            price_band_pct=self.price_band_pct,
            loss=LossRules(
                max_daily_loss_pct=self.max_daily_loss_pct, max_drawdown_pct=self.max_drawdown_pct
            ),
        )

    @property
    def band(self) -> BandRules:
        """Return the band that prints are held against."""
        return BandRules(band_pct=self.price_band_pct, mark_band_pct=self.price_band_pct)


NO_LIMITS: Final = LimitSettings(max_entries_per_min=0, price_band_pct=0.0)
"""Of a backtest, unless its settings say otherwise."""


def risk_engine_config(settings: LimitSettings, instruments: Iterable[str] = ()) -> "LiveRiskEngineConfig":
    """Return the limits as Nautilus' risk engine takes them.

    Parameters
    ----------
    settings
        Of the node.
    instruments
        Ids that are traded: only those have a notional limit per order.

    Notes
    -----
    The engine's notional limit is per order and holds for exits too. An exit is as large as its position,
    which the entries' limit bounds at entry prices, but a price that has doubled doubles it: so the engine's
    limit is four times that of the desks, and catches what no strategy can have meant.
    """
    from nautilus_trader.live.config import LiveRiskEngineConfig  # slow to load, and settings are for all

    notionals: dict[str, int] = {}
    for name in instruments:
        limit = settings.symbol_notionals.get(name, settings.max_symbol_notional)
        if limit:
            notionals[name] = int(limit * EXIT_ROOM) + 1
    return LiveRiskEngineConfig(
        max_order_submit_rate=f"{settings.max_orders_per_sec}/00:00:01",
        max_order_modify_rate=f"{settings.max_changes_per_sec}/00:00:01",
        max_notional_per_order=notionals,
        graceful_shutdown_on_exception=True,
    )


def make_room(engine: Any, instrument_id: Any, notional: Decimal) -> None:
    """Let an exit pass Nautilus' risk engine, however large the position became.

    Its limit per order was made of the settings of this start. A position may be larger: it was opened under
    other settings, or by hand. A refused stop would leave it naked.

    Parameters
    ----------
    engine
        Nautilus' risk engine.
    instrument_id
        What is sold or bought back.
    notional
        Of the exit, quote currency.
    """
    limit = engine.max_notional_per_order(instrument_id)
    if limit is not None and notional > limit:
        engine.set_max_notional_per_order(instrument_id, notional * EXIT_ROOM)


def limit_entries(strategies: Iterable[Any], settings: LimitSettings) -> EntryLimits | None:
    """Let every desk of the strategies ask one object before an entry; None where nothing is limited."""
    rules = settings.rules
    if not rules.are_set:
        return None
    limits = EntryLimits(rules)
    attach_limits(strategies, limits)
    return limits


def attach_limits(strategies: Iterable[Any], limits: EntryLimits) -> None:
    """Give the desks of all strategies these limits, which look at all of them together."""
    desks = [desk for one in strategies for desk in getattr(one, "desks", ())]
    for desk in desks:
        desk.entry_limits = limits
        desk.peers = desks
