"""Who trades what, and how entries and exits are handled at the venue: what a setup is given."""

from dataclasses import dataclass
from typing import Final, Literal

NEVER_NS: Final = 1 << 62
NANOS: Final = 1_000_000_000
type PostOnlyReject = Literal["reprice", "drop"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who trades what.

    Parameters
    ----------
    tag
        Short name of the strategy in client order ids.
    symbol
        Of the instrument, in client order ids.
    strategy_id, instrument_id
        Nautilus ids, for the record.
    setup_id
        See `client_ids.setup_id`.
    """

    tag: str
    symbol: str
    strategy_id: str
    instrument_id: str
    setup_id: str


@dataclass(frozen=True, slots=True)
class ExitRules:
    """How entries and exits are handled at the venue.

    Parameters
    ----------
    entry_ttl_secs
        An entry older than this is cancelled, 0 for never.
    post_only_reject
        Price once more behind the market, or drop the setup.
    stop_limit_offset_pct
        Spot: how far beyond the stop its limit stands, percent.
    exit_market_after_secs
        An exit that should have filled goes to market after this time.
    retry_secs
        Wait before a refused exit or cancellation is tried again.
    max_refusals
        Refused exits in a row before the strategy halts.
    answer_secs
        An exit that is not acknowledged after this time is asked about, and after as long again replaced.
        Never at once: a venue that does not answer may have taken the order. A second one cannot trade
        twice, because margin exits are reduce-only and a waiting spot stop locks the coins; but for Bybit's,
        which locks none, so that one of both is taken back when the first reports. What sells at once on
        spot (a market exit, the target's limit) is asked about until the venue says what became of it: a
        second one would sell coins of somebody else.
    unknown_secs
        The same where the venue answered that it does not know whether it took the order.
    """

    entry_ttl_secs: float = 0.0
    post_only_reject: PostOnlyReject = "reprice"
    stop_limit_offset_pct: float = 0.2
    exit_market_after_secs: float = 5.0
    retry_secs: float = 1.0
    max_refusals: int = 5
    answer_secs: float = 10.0
    unknown_secs: float = 0.5
