"""What the host of a model can give it, against what its passport asks for."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from ml.model_refusal import ModelRefused, Refusal
from ml.passport import Kind, Passport, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the host of a model can give it; a model made for anything else is refused.

    Parameters
    ----------
    feature_names
        All that the program computes, in its order; a model may use some of them, in the same order.
    feature_schema
        `ml.features.schema_hash`: from ordered names to 64 hexadecimal digits.
    kernel_sha256
        `ml.passport.kernel_sha256` of the running program.
    state_dtype_sha256
        `ml.features.state_dtype_sha256` of the running program; empty for signals, which read no buckets.
    instrument_id
        Nautilus id.
    stream
        ``trades`` or ``aggtrades``; ``klines`` for signals.
    bucket_usd
        Quote value of a bucket; 0 for signals.
    now_ns
        Time of the first decision, UNIX nanoseconds: the start of a backtest, the clock of a live node.
    kind
        What is decided about: ``cancel`` (resting entries) or ``signal``.
    price_decimals, size_decimals, vpin_window, timeframe
        Compared where both sides know them.
    strategy, strategy_version, parameters
        Whose entries are decided about, and its settings that shape entries and exits; an empty name asks
        for no strategy.
    maker_fee_bps, taker_fee_bps
        Of the account, basis points per side; other ones than of the training are worth a note.
    """

    feature_names: tuple[str, ...]
    feature_schema: Callable[[tuple[str, ...]], str]
    kernel_sha256: str
    instrument_id: str
    stream: str
    bucket_usd: float
    now_ns: int
    kind: Kind = "cancel"
    state_dtype_sha256: str = ""
    price_decimals: int | None = None
    size_decimals: int | None = None
    vpin_window: int | None = None
    timeframe: str | None = None
    strategy: str = ""
    strategy_version: str = ""
    parameters: Mapping[str, Setting] = field(default_factory=dict)
    maker_fee_bps: float | None = None
    taker_fee_bps: float | None = None


def decimals_of(increment: Decimal) -> int:
    """Return the digits after the point of a price or quantity increment.

    Examples
    --------
    >>> decimals_of(Decimal("0.0100")), decimals_of(Decimal(10))
    (2, 0)
    """
    return max(0, -int(increment.normalize().as_tuple().exponent))


def require_fit(passport: Passport, wanted: Wanted) -> None:
    """Refuse a model made for other features, kernels, feeds, strategies or times.

    Raises
    ------
    ModelRefused
        With the first thing that differs.
    """
    if passport.kind != wanted.kind:
        about = {"cancel": "resting entries", "signal": "signals"}
        raise ModelRefused(
            Refusal.OTHER_KIND,
            f"it decides about {about[passport.kind]}, wanted is one for {about[wanted.kind]}: "
            "name another model",
        )
    if wanted.now_ns >= passport.expires_ns:
        when = np.datetime64(passport.expires_ns, "ns").astype("datetime64[s]")
        raise ModelRefused(Refusal.EXPIRED, f"it expired {when}Z: train again on newer data")
    names = tuple(one.name for one in passport.features)
    if not names or not _is_ordered_subset(names, wanted.feature_names):
        raise ModelRefused(
            Refusal.OTHER_FEATURES,
            f"trained on columns {_difference(names, wanted.feature_names)}: train again",
        )
    schema = wanted.feature_schema(names)
    if passport.feature_schema_sha256 != schema:
        raise ModelRefused(
            Refusal.OTHER_FEATURES,
            f"features {passport.feature_schema_sha256[:12]}, this program computes "
            f"{schema[:12]} under the same names: train again",
        )
    if passport.kernel.source_sha256 != wanted.kernel_sha256:
        raise ModelRefused(
            Refusal.OTHER_KERNEL,
            f"its features came from kernels {passport.kernel.source_sha256[:12]}, this program has "
            f"{wanted.kernel_sha256[:12]}: train again with this version",
        )
    if wanted.state_dtype_sha256 not in ("", passport.kernel.state_dtype_sha256):
        raise ModelRefused(
            Refusal.OTHER_KERNEL,
            "its features were read from buckets or structure of another layout: train again",
        )
    _require_feed(passport, wanted)
    if wanted.strategy:
        _require_strategy(passport, wanted)


def fit_notes(passport: Passport, wanted: Wanted) -> tuple[str, ...]:
    """Return what differs from the training without being a reason to refuse the model.

    Fees move the threshold of each order, which is computed with those of the account; but what the model
    calls a win was counted after those of the training.
    """
    scope = passport.symbols[wanted.instrument_id]
    pairs = [
        (side, trained, given)
        for side, trained, given in (
            ("maker", scope.maker_fee_bps, wanted.maker_fee_bps),
            ("taker", scope.taker_fee_bps, wanted.taker_fee_bps),
        )
        if trained is not None and given is not None and not math.isclose(trained, given, abs_tol=1e-9)
    ]
    return tuple(
        f"{side} fee: trained with {trained:g} bps, {wanted.instrument_id} pays {given:g} bps: "
        "its probabilities are of the other fee, train again"
        for side, trained, given in pairs
    )


def _require_strategy(passport: Passport, wanted: Wanted) -> None:
    trained: dict[str, Setting] = {
        "strategy": passport.strategy,
        "strategy_version": passport.strategy_version,
    }
    given: dict[str, Setting] = {"strategy": wanted.strategy, "strategy_version": wanted.strategy_version}
    trained |= passport.symbols[wanted.instrument_id].parameters
    given |= wanted.parameters
    for name in sorted(given.keys() | trained.keys(), key=lambda one: (not one.startswith("strategy"), one)):
        if name not in trained or name not in given or trained[name] != given[name]:
            then, now = (_named(name, values) for values in (trained, given))
            raise ModelRefused(
                Refusal.OTHER_STRATEGY,
                f"trained with {name} {then}, {wanted.instrument_id} runs with {now}: "
                f"its entries or exits are others, set {name} to {then} or train again",
            )


def _named(name: str, values: Mapping[str, Setting]) -> str:
    value = values.get(name, "")
    return "none" if value is None or value == "" else str(value)


def _require_feed(passport: Passport, wanted: Wanted) -> None:
    scope = passport.symbols.get(wanted.instrument_id)
    if scope is None:
        known = ", ".join(sorted(passport.symbols)) or "nothing"
        raise ModelRefused(Refusal.OTHER_INSTRUMENT, f"trained on {known}, not on {wanted.instrument_id}")
    if scope.stream != wanted.stream:
        raise ModelRefused(
            Refusal.OTHER_STREAM,
            f"trained on {scope.stream}, the feed of {wanted.instrument_id} gives "
            f"{wanted.stream or 'an unknown kind'}",
        )
    pairs = [("bucket_usd", scope.bucket_usd, wanted.bucket_usd)]
    pairs += [
        (name, getattr(scope, name), getattr(wanted, name))
        for name in ("price_decimals", "size_decimals", "vpin_window", "timeframe")
        if getattr(scope, name) is not None and getattr(wanted, name) is not None
    ]
    for name, trained, given in pairs:
        if trained != given:
            raise ModelRefused(
                Refusal.OTHER_BUCKET,
                f"trained with {name} {_shown(trained)}, {wanted.instrument_id} runs with {_shown(given)}: "
                f"set {name} to {_shown(trained)} or train again",
            )


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _is_ordered_subset(names: tuple[str, ...], given: tuple[str, ...]) -> bool:
    rest = iter(given)
    return all(name in rest for name in names)  # `in` consumes the iterator up to the name


def _difference(names: tuple[str, ...], given: tuple[str, ...]) -> str:
    unknown = [name for name in names if name not in given]
    return f"{unknown[:5]}, which this program does not compute" if unknown else "in another order or twice"
