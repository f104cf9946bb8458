"""Settings into what a node will trade: strategies with instruments and accounts, and one hash of it all.

Nothing here asks a venue; whatever the file alone can tell is refused here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from nautilus_trader.config import ImportableStrategyConfig
from nautilus_trader.model.identifiers import InstrumentId

from runtime.errors import ConfigurationError
from runtime.instruments import market_terms
from runtime.journal.backtests import model_sha256
from runtime.live.addresses import addresses_of
from runtime.live.keys import refuse_keys_in
from runtime.live.settings import LiveVenue
from runtime.node_config import strategy_configs
from runtime.run_plan import find_strategy
from runtime.settings import Settings, StrategySettings, as_plain, settings_hash
from strategies.registry import StrategySpec

# Binance sends aggregated trades of futures only; everything else sends each trade.
FEEDS: Final[Mapping[tuple[str, str], str]] = {("binance", "usdm"): "aggtrades"}
ALL_INSTRUMENTS: Final = "*"


@dataclass(frozen=True, slots=True)
class PlannedStrategy:
    """One entry of `strategies`, ready for a node.

    Parameters
    ----------
    spec
        The strategy.
    entry, entry_path
        Its entry in the settings, and where it stands.
    instruments
        Nautilus ids, sorted.
    configs
        One per instance, with claims on what the account holds already.
    """

    spec: StrategySpec
    entry: StrategySettings
    entry_path: str
    instruments: tuple[str, ...]
    configs: tuple[ImportableStrategyConfig, ...]


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What a node trades.

    Parameters
    ----------
    mode
        ``paper`` or ``live``.
    settings
        All of them.
    source
        Name of the settings file, for errors.
    strategies
        In the order of the file.
    """

    mode: str
    settings: Settings
    source: str
    strategies: tuple[PlannedStrategy, ...]

    @property
    def instruments(self) -> tuple[str, ...]:
        """All traded ids, sorted."""
        return tuple(sorted(name for one in self.strategies for name in one.instruments))

    @property
    def configs(self) -> list[ImportableStrategyConfig]:
        """The configurations of all strategy instances."""
        return [config for one in self.strategies for config in one.configs]

    @property
    def venues(self) -> tuple[LiveVenue, ...]:
        """The accounts that something is traded on, in the order of the file."""
        used = {name.rpartition(".")[2] for name in self.instruments}
        return tuple(one for one in self.settings.live.venues if one.venue_name in used)

    def instruments_of(self, venue: LiveVenue) -> tuple[str, ...]:
        """Return the ids that an account trades, sorted."""
        return tuple(name for name in self.instruments if self.settings.live.venue_of(name) == venue)


def plan_live(settings: Settings, mode: str, source: str = "config.yaml") -> LivePlan:
    """Check settings for a node.

    Parameters
    ----------
    settings
        Of the file.
    mode
        ``paper`` or ``live``.
    source
        Name of the file.

    Raises
    ------
    ConfigurationError
        No account or no instrument; an id without an account, or of another market than its account; one
        instrument in two strategies; a secret in the file; whatever the strategies refuse.
    """
    refuse_keys_in(as_plain(settings), source)
    if not settings.live.venues:
        raise ConfigurationError(
            f"{source}: no account to trade on: add one, `venues: [{{venue: binance, market: spot}}]` "
            "- at $.live.venues"
        )
    planned = tuple(
        _planned(settings, entry, f"$.strategies[{index}]", source)
        for index, entry in enumerate(settings.strategies)
    )
    _require_one_owner(planned, source)
    return LivePlan(mode, settings, source, planned)


def effective_config(plan: LivePlan) -> dict[str, Any]:
    """Return everything that decides what a node does, with every default, and its hash; no secrets.

    Returns
    -------
    dict
        The settings, ``node`` with mode, strategies' versions and the addresses in effect, and
        ``config_sha256``: what ``--live-approved`` takes.
    """
    plain = as_plain(plan.settings)
    plain["strategies"] = [
        {
            "strategy": one.spec.name,
            "version": one.spec.version,
            "instruments": list(one.instruments),
            "symbols": {
                str(config.config.get("instrument_id", ALL_INSTRUMENTS)): dict(config.config)
                for config in one.configs
            },
        }
        for one in plan.strategies
    ]
    plain["node"] = {
        "mode": plan.mode,
        "addresses": {one.venue_name: msgspec.to_builtins(addresses_of(one)) for one in plan.venues},
        # What is approved is a model, not the name of its folder.
        "models": {one.spec.name: digest for one in plan.strategies if (digest := model_sha256(one.configs))},
    }
    return {**plain, "config_sha256": settings_hash(plain)}


def symbol_of(instrument_id: str, venue: LiveVenue) -> str:
    """Return the venue's own symbol of a Nautilus id.

    Examples
    --------
    >>> symbol_of("BTCUSDT-PERP.BINANCE", LiveVenue(venue="binance", market="usdm"))
    'BTCUSDT'
    """
    suffix = market_terms(venue.venue, venue.market).id_suffix
    return instrument_id.rpartition(".")[0].removesuffix(suffix)


def _planned(settings: Settings, entry: StrategySettings, path: str, source: str) -> PlannedStrategy:
    spec = find_strategy(entry.strategy)
    names = tuple(sorted(set(entry.instruments)))
    if not names:
        raise ConfigurationError(
            f"{source}: a node trades only what is named: list the instruments of {entry.strategy}, for "
            f"example [XRPUSDT.BINANCE] - at {path}.instruments"
        )
    for name in names:
        _require_account(settings, name, path, source)
    configs = strategy_configs(
        spec,
        entry,
        names,
        streams={name: feed_of(settings, name) for name in names},
        entry_path=path,
        source=source,
    )
    return PlannedStrategy(spec, entry, path, names, tuple(_claiming(one, names) for one in configs))


def feed_of(settings: Settings, instrument_id: str) -> str:
    """Return what the trades of an instrument are on the wire: ``trades`` or ``aggtrades``."""
    venue = settings.live.venue_of(instrument_id)
    return "trades" if venue is None else FEEDS.get((venue.venue, venue.market), "trades")


def _require_account(settings: Settings, name: str, path: str, source: str) -> None:
    try:
        InstrumentId.from_str(name)
    except ValueError:
        raise ConfigurationError(
            f"{source}: {name!r} is no instrument id like XRPUSDT.BINANCE - at {path}.instruments"
        ) from None
    venue = settings.live.venue_of(name)
    if venue is None:
        known = ", ".join(one.venue_name for one in settings.live.venues)
        raise ConfigurationError(
            f"{source}: no account is named {name.rpartition('.')[2]}, which {name} trades on; there are "
            f"{known} - at {path}.instruments"
        )
    suffix = market_terms(venue.venue, venue.market).id_suffix
    symbol = name.rpartition(".")[0]
    has_suffix = symbol.endswith(suffix) if suffix else "-" not in symbol
    if not has_suffix:
        raise ConfigurationError(
            f"{source}: {name} is not of {venue.venue} {venue.market}, whose ids look like "
            f"XRPUSDT{suffix}.{venue.venue_name} - at {path}.instruments"
        )


def _require_one_owner(planned: Iterable[PlannedStrategy], source: str) -> None:
    """Refuse two strategies on one instrument: an account nets positions, and both would protect it."""
    owners: dict[str, str] = {}
    for one in planned:
        for name in one.instruments:
            if name in owners:
                raise ConfigurationError(
                    f"{source}: {name} is traded by {owners[name]} already: an account nets positions, run "
                    f"the second strategy on another account - at {one.entry_path}.instruments"
                )
            owners[name] = f"{one.spec.name} ({one.entry_path})"


def _claiming(config: ImportableStrategyConfig, names: Iterable[str]) -> ImportableStrategyConfig:
    """Return the configuration of a strategy that owns the orders and positions its account has already."""
    own = config.config.get("instrument_id")
    claims = [own] if own is not None else list(names)
    return msgspec.structs.replace(config, config={**config.config, "external_order_claims": claims})
