"""Joins the filter of signals to the confluence strategy: fees, thresholds, and the model of its settings."""

from collections.abc import Mapping
from decimal import Decimal

from indicators.confluence.explain import interval_name
from ml.signal_outcomes import SignalFees
from strategies.coin_desk import CoinDesk
from strategies.confluence_config import ConfluenceConfig, filter_rules, signal_terms
from strategies.registry import StrategySpec
from strategies.signal_filter import SignalFilter, SignalModel, load_signal_model, signal_wanted_of


def make_filter(desks: Mapping[str, CoinDesk], config: ConfluenceConfig, market: str) -> SignalFilter:
    """Return the filter of a strategy, without a model yet.

    Parameters
    ----------
    desks
        By Nautilus id; their instruments are read when the first signal comes.
    config
        Of the strategy.
    market
        Id of the coin that stands for the market, empty for none.
    """

    def fees(name: str) -> SignalFees:
        market = desks[name].market
        taker = float(market.taker_fee)
        return SignalFees(taker, taker, float(market.maker_fee) if market.target_rests else taker)

    def least(name: str) -> float | None:
        percent = desks[name].rules.ml_min_confidence
        return None if percent is None else percent / 100

    return SignalFilter(desks, market, fees, least)


def signal_model(
    config: ConfluenceConfig, spec: StrategySpec, fees: Mapping[str, tuple[Decimal, Decimal]], now_ns: int
) -> SignalModel:
    """Load the model that the settings name, after it was found fit for every instrument.

    Parameters
    ----------
    config
        With ``model`` set.
    spec
        Name and version of the strategy.
    fees
        Maker and taker by Nautilus id, shares of the notional.
    now_ns
        When the first decision could be due, UNIX nanoseconds.

    Raises
    ------
    ModelRefused
        When it must not decide about one of the instruments; the text says which and why.
    """
    wanted = [
        signal_wanted_of(
            one.value,
            interval_name(config.ltf_secs),
            now_ns,
            strategy=(spec.name, spec.version),
            parameters=signal_terms(config, one),
            maker_fee=float(fees[one.value][0]),
            taker_fee=float(fees[one.value][1]),
        )
        for one in config.instrument_ids
    ]
    return load_signal_model(config.model, filter_rules(config), wanted)
