"""F02 where trades have names and no numbers (Bybit): a break, however short, is suspect."""

import time
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import httpx
import msgspec
import numpy as np
import pytest

from indicators.events import Scope
from packet_builder.builder import VolumeBucketBuilder
from runtime.arrow_schema import TradeColumns
from runtime.live.checkpoint import read_checkpoint, write_checkpoint
from runtime.node_config import strategy_configs
from runtime.run_plan import find_strategy
from runtime.settings import StrategySettings
from strategies.ote_config import OteConfig, perception
from strategies.perception_state import Perceiver, PerceptionState, decode, encode
from tests.faults.conftest import StartPair
from tests.faults.harness import START_SECS, FaultVenue, LiveNode
from tests.faults.recorder import record

pytestmark = pytest.mark.fault

PARAMETERS: Final = {"bucket_usd": 2000}
# Silence must not be what tells of the break: only the break itself may.
DATA: Final = {"gap_secs": 5.0, "quiet_secs": 3600.0}
CUT_SECS: Final = 2.0
NO_ID: Final = -1


class Market:
    """Every trade of a market, read page by page before it leaves the newest one.

    Parameters
    ----------
    venue
        Whose.
    """

    def __init__(self, venue: FaultVenue) -> None:
        self.venue = venue
        self.trades: dict[str, dict[str, Any]] = {}
        self._printed = 0

    def read(self) -> None:
        """Read the newest page."""
        kind = self.venue.kind
        query = {"category": kind.market_kind, "symbol": "BTCUSDT", "limit": 60 if kind.is_spot else 1000}
        address = f"{self.venue.http(kind.simulator)}/v5/market/recent-trade"
        rows = httpx.get(address, params=query, trust_env=False).json()["result"]["list"]
        for one in reversed(rows):
            self.trades.setdefault(one["execId"], one)

    def print_trades(self, count: int) -> None:
        """Print trades around 50,000, of 1,500 USD each, and read them; nothing can be read during a cut."""
        for number in range(self._printed, self._printed + count):
            self.venue.print_trade(str(50_000 + 7 * (number % 11)), "0.03", "BUY" if number % 3 else "SELL")
        self._printed += count
        with suppress(httpx.HTTPError):
            self.read()


def perceiver_of(venue: FaultVenue) -> tuple[Perceiver, Decimal, Decimal]:
    """Return an empty perception as the node's strategy has it, with tick and lot."""
    entry = StrategySettings(strategy="ote", parameters=PARAMETERS)
    (config,) = strategy_configs(find_strategy("ote"), entry, [venue.kind.instrument_id])
    tick, lot = Decimal("0.01"), Decimal(venue.kind.lot)
    parts = perception(OteConfig.parse(msgspec.json.encode(config.config)), tick, lot)
    return Perceiver(venue.kind.instrument_id, *parts, Scope.EXTERNAL), tick, lot


def perceived(market: Market) -> PerceptionState:
    """Return what an unbroken stream of all trades would have shown."""
    one, tick, lot = perceiver_of(market.venue)
    rows = list(market.trades.values())
    one.take(
        TradeColumns(
            np.array([int(row["time"]) * 1_000_000 for row in rows]),
            np.array([int(Decimal(row["price"]) / tick) for row in rows]),
            np.array([int(Decimal(row["size"]) / lot) for row in rows]),
            np.array([row["side"] == "Buy" for row in rows]),
            np.full(len(rows), NO_ID),
        )
    )
    return one.state(list(market.trades)[-1000:])


def start_warm(node: LiveNode, market: Market) -> None:
    """Start the node as after a stop a moment ago: its checkpoint knows the market's trades so far."""
    market.print_trades(10)
    write_checkpoint(checkpoint_of(node), encode(perceived(market)))
    node.launch()

    def is_open() -> bool:
        desk = node.desk()
        if desk and desk["held"]:  # the warm-up waits for a first live trade
            market.print_trades(1)
        return bool(desk) and not desk["held"] and not desk["halted"]

    node.wait("entries are free", is_open, START_SECS)


def checkpoint_of(node: LiveNode) -> Any:
    """Return the file in which the node keeps what it perceives."""
    return node.folder / "live" / "perception" / f"{node.venue.kind.instrument_id}.checkpoint"


def of_gaps(node: LiveNode, kind: str) -> list[dict[str, Any]]:
    """Return journaled holds (or releases) of gaps."""
    return [one for one in node.decisions(kind) if one["reason"] == "gap"]


@pytest.mark.parametrize(("kind", "lost"), [("bybit_linear", 20), ("bybit_spot", 20), ("bybit_spot", 100)])
def test_F02_the_connection_breaks_and_trades_have_no_numbers(pair: StartPair, kind: str, lost: int) -> None:
    """The newest page fills the gap where it reaches back to a trade known, else the bucket is tainted.

    Spot's page has 60 trades.
    """
    venue, node = pair(kind, strategy={"strategy": "ote", **PARAMETERS}, live={"data": DATA})
    venue.pause_pulse()
    market = Market(venue)
    start_warm(node, market)
    market.print_trades(20)
    venue.fault("cut", secs=CUT_SECS)
    market.print_trades(lost)

    def is_settled() -> bool:
        market.print_trades(1)
        return bool(of_gaps(node, "released"))

    node.wait("the gap is dealt with", is_settled)
    market.print_trades(20)
    time.sleep(1.0)  # what was printed last is on its way
    assert node.stop() == 0
    payload = read_checkpoint(checkpoint_of(node))
    assert payload is not None
    seen = decode(payload)
    assert seen.names[-1] == list(market.trades)[-1], "the last trade was heard"
    is_whole = payload == encode(perceived(market))
    builder = VolumeBucketBuilder.from_bytes(seen.builder, perceiver_of(venue)[0].builder.config)
    is_in_reach = not venue.kind.is_spot or lost < 60
    assert is_whole == is_in_reach
    assert (builder.counters.missing_ids > 0) == (not is_in_reach)
    record(
        f"F02 {lost} trades",
        kind,
        f"the connection cut for {CUT_SECS:g} s, {lost} trades meanwhile",
        measured={
            "trades": len(market.trades),
            "perceived_as_without_gap": is_whole,
            "tainted": builder.counters.missing_ids,
        },
    )
