"""F01-F06 and F23: streams that break, miss, repeat or swap what they tell."""

import time
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from nautilus_trader.core.datetime import millis_to_nanos

from indicators.events import Scope
from runtime.arrow_schema import TradeColumns
from runtime.live.checkpoint import read_checkpoint
from runtime.node_config import strategy_configs
from runtime.run_plan import find_strategy
from runtime.settings import StrategySettings
from strategies.ote_config import OteConfig, perception
from strategies.perception_state import Perceiver, decode, encode
from tests.faults.books import books_agree, node_knew_the_same
from tests.faults.conftest import StartPair
from tests.faults.harness import NANOS, FaultVenue, LiveNode, details, wait
from tests.faults.recorder import record
from tests.faults.unprotected import unprotected_secs

pytestmark = pytest.mark.fault
NUMBERED = ["binance_usdm", "binance_spot"]  # whose trades have numbers
NAMED = ["bybit_linear", "bybit_spot"]
ALL = pytest.mark.parametrize("kind", [*NUMBERED, *NAMED])
QUICK = pytest.mark.quick  # two of them, because each starts a node
USDM_QUICK = pytest.mark.parametrize("kind", [pytest.param(NUMBERED[0], marks=QUICK), NUMBERED[1], *NAMED])
SPOT_QUICK = pytest.mark.parametrize("kind", [NUMBERED[0], pytest.param(NUMBERED[1], marks=QUICK), *NAMED])
# How the account's stream tells of a fill.
FILL = dict.fromkeys(NUMBERED, "private.order") | dict.fromkeys(NAMED, "private.execution")
# Messages of one fill: Bybit tells order, execution, wallet and, of a contract, position.
FILL_MESSAGES = dict.fromkeys(NUMBERED, 3) | {"bybit_linear": 4, "bybit_spot": 3}
SPOT = ["binance_spot", "bybit_spot"]
# How the account's stream tells of coins; a fill and the orders that follow it take far less than so many.
BALANCE = {"binance_spot": "private.balance", "bybit_spot": "private.wallet"}
BALANCE_MESSAGES = 40
LOOKED_SECS = 5.0
CUTS = [
    *((kind, secs) for kind in [*NUMBERED, *NAMED] for secs in (5.0, 60.0)),
    *(pytest.param(kind, 600.0, marks=pytest.mark.soak) for kind in NUMBERED),
]
RECORDED = {"recording": {"enabled": True}}
FAST_DATA = RECORDED | {"data": {"heartbeat_secs": 1.0, "stale_secs": 2.0}}
MANY = 100_000


def leave(node: LiveNode, venue: FaultVenue) -> None:
    """Let the stop be hit, and wait until the trade is journaled."""
    before = len(node.rows("SELECT 1 FROM trades"))
    venue.hit_stop()
    node.wait("flat", venue.is_flat)
    node.wait("the trade is journaled", lambda: len(node.rows("SELECT 1 FROM trades")) > before)
    venue.resume_pulse()


def finish(
    node: LiveNode, venue: FaultVenue, row: str, done: str, *, outage_secs: float = 0.0, **measured: Any
) -> None:
    """Compare all books with the position protected and after it, stop the node, and record."""
    books_agree(node, venue, outage_secs=outage_secs)
    if not venue.is_flat():
        leave(node, venue)
    found = books_agree(node, venue, outage_secs=outage_secs)
    assert node.violations == 0
    assert node.stop() == 0
    node_knew_the_same(node, venue)
    record(row, venue.kind.name, done, measured=measured | found)


def secs_between(first_ns: int, second_ns: int) -> float:
    """Return a time in seconds, as it is recorded."""
    return round((second_ns - first_ns) / NANOS, 3)


def newest(venue: FaultVenue, leg_type: str) -> int:
    """Return when the newest order of a type reached the venue, UNIX nanoseconds."""
    return max(int(one["created_ns"]) for one in venue.orders() if leg_type in one["type"])


def holds(node: LiveNode, kind: str, since_ns: int) -> list[dict[str, Any]]:
    """Return journaled holds (or releases) of stale data since a time."""
    found = node.decisions(kind)
    return [one for one in found if one["ts_ns"] >= since_ns and one["reason"] in {"stale", "venue"}]


def all_released(node: LiveNode, since_ns: int) -> dict[str, Any] | None:
    """Return the last release since a time, when nothing is held any more."""
    last = [one for one in node.decisions("held", "released") if one["ts_ns"] >= since_ns][-1]
    return last if last["kind"] == "released" and not details([last])[0]["still"] else None


@pytest.mark.parametrize(("kind", "cut_secs"), CUTS)
def test_F01_network_cut_while_the_entry_fills(pair: StartPair, kind: str, cut_secs: float) -> None:
    """Entries are held while nothing is heard; the fill of meanwhile is protected before they are free."""
    venue, node = pair(kind, live=FAST_DATA)
    node.start()
    node.enter()
    began_ns = venue.now_ns()
    venue.fault("cut", secs=cut_secs)
    venue.fill_entry()
    venue.arm()
    held = node.wait("entries are held", lambda: holds(node, "held", began_ns))
    back_ns = began_ns + round(cut_secs * NANOS)
    wait("the cut ends", lambda: venue.now_ns() >= back_ns, cut_secs + 5)
    node.wait_protected()
    stop_ns = newest(venue, "STOP")
    free = node.wait("entries are free", lambda: all_released(node, began_ns))
    free_ns = free["ts_ns"]
    sent = [one for one in venue.sent_since(began_ns, until_ns=free_ns) if one["params"].get("side") == "BUY"]
    assert sent == []
    assert stop_ns <= free_ns
    finish(
        node,
        venue,
        f"F01 {cut_secs:g} s",
        f"every connection cut for {cut_secs:g} s, the entry fills meanwhile",
        outage_secs=cut_secs,
        held_after_secs=secs_between(began_ns, held[0]["ts_ns"]),
        entries_sent_while_held=len(sent),
        stop_after_return_secs=secs_between(back_ns, stop_ns),
        free_after_return_secs=secs_between(back_ns, free_ns),
    )


@pytest.mark.parametrize("kind", NUMBERED)
def test_F02_trades_are_missing_in_the_stream(pair: StartPair, kind: str) -> None:
    """The jump of ids is seen and filled by REST: what is perceived is what no gap would have shown."""
    script = {"strategy": "ote", "bucket_usd": 2000}
    venue, node = pair(kind, strategy=script, live={"data": {"gap_secs": 5.0}})
    node.start()
    for number in range(60):
        if number == 20:
            venue.fault("drop", kind="public.trade", count=15)
        venue.print_trade(str(50_000 + 7 * (number % 11)), "0.03", "BUY" if number % 3 else "SELL")
    node.wait("the stream is whole again", lambda: of_gaps(node, "released"))
    venue.pause_pulse()
    time.sleep(1.0)  # what was printed last is on its way
    assert node.stop() == 0
    name = venue.kind.instrument_id
    seen = read_checkpoint(node.folder / "live" / "perception" / f"{name}.checkpoint")
    assert seen is not None
    trades = venue_trades(venue)
    assert decode(seen).last_trade_id == trades[-1][4]
    assert seen == encode(whole_perception(venue, trades, script))
    done = "15 messages of the trade stream dropped"
    record("F02", kind, done, measured={"trades": len(trades), "perceived_as_without_gap": True,
                                        "holds_for_gaps": len(of_gaps(node, "held"))})  # fmt: skip


def of_gaps(node: LiveNode, kind: str) -> list[dict[str, Any]]:
    """Return journaled holds (or releases) of gaps."""
    return [one for one in node.decisions(kind) if one["reason"] == "gap"]


def venue_trades(venue: FaultVenue) -> list[tuple[int, Decimal, Decimal, bool, int]]:
    """Return every trade of the market as the venue's own REST tells it."""
    is_spot = venue.kind.is_spot
    path = "/api/v3/aggTrades" if is_spot else "/fapi/v1/aggTrades"
    found = []
    first = 1
    while True:
        query = {"symbol": venue.kind.market, "fromId": first, "limit": 1000}
        rows = httpx.get(f"{venue.http(venue.kind.simulator)}{path}", params=query, trust_env=False).json()
        found += [(one["T"], Decimal(one["p"]), Decimal(one["q"]), not one["m"], one["a"]) for one in rows]
        if len(rows) < 1000:
            return found
        first = rows[-1]["a"] + 1


def whole_perception(venue: FaultVenue, trades: list[Any], script: dict[str, Any]) -> Any:
    """Return what a run without any gap perceived."""
    spec = find_strategy("ote")
    parameters = {key: value for key, value in script.items() if key != "strategy"}
    entry = StrategySettings(strategy="ote", parameters=parameters)
    (config,) = strategy_configs(spec, entry, [venue.kind.instrument_id])
    tick, lot = Decimal("0.01"), Decimal(venue.kind.lot)
    buckets, structure = perception(OteConfig.parse(msgspec.json.encode(config.config)), tick, lot)
    one = Perceiver(venue.kind.instrument_id, buckets, structure, Scope.EXTERNAL)
    one.builder.resume_after(trades[0][4] - 1)
    one.take(
        TradeColumns(
            np.array([millis_to_nanos(row[0]) for row in trades]),  # by way of a float, as adapters do
            np.array([int(row[1] / tick) for row in trades]),
            np.array([int(row[2] / lot) for row in trades]),
            np.array([row[3] for row in trades]),
            np.array([row[4] for row in trades]),
        )
    )
    return one.state()


@SPOT_QUICK
def test_F03_every_private_event_comes_twice(pair: StartPair, kind: str) -> None:
    """Acknowledgements, two partial fills and the stop's fill count once."""
    venue, node = pair(kind, live=RECORDED)
    node.start()
    venue.fault("duplicate", kind="private.*", count=MANY)
    node.enter()
    venue.fill_entry("0.06")
    node.wait_protected()
    venue.fill_entry("1")
    node.wait_protected()
    finish(node, venue, "F03", "every message of the account's stream sent twice")


@ALL
def test_F04_fill_before_its_acknowledgement_and_after_the_cancellation(pair: StartPair, kind: str) -> None:
    """In whichever order the venue tells it, the stop has the size of what is held."""
    venue, node = pair(kind, live=RECORDED)
    node.start()
    venue.fault("late", kind="private.order", count=1, secs=0.7)  # the entry's acknowledgement
    node.enter()
    venue.fill_entry()
    node.wait_protected()
    books_agree(node, venue)
    leave(node, venue)
    node.enter()
    venue.fault("late", kind=FILL[kind], count=1, secs=0.7)
    venue.fill_entry("0.04")
    venue.ask_cancel()
    wait("the entry is gone", lambda: not venue.is_resting("E"))
    node.wait("what filled after all is closed", lambda: len(node.rows("SELECT 1 FROM trades")) == 2)
    (last,) = node.rows("SELECT exit_reason, qty FROM trades ORDER BY ts_ns DESC LIMIT 1")
    assert (last["exit_reason"], Decimal(last["qty"])) == ("late_fill", Decimal("0.04"))
    finish(node, venue, "F04", "a fill overtakes its acknowledgement; a cancellation overtakes a fill")


@ALL
def test_F04_a_fill_that_nobody_is_told(pair: StartPair, kind: str) -> None:
    """One message is lost and no stream breaks: of the entry, then of the stop, then of the target."""
    venue, node = pair(kind, live=RECORDED)
    node.start()
    node.enter()
    venue.fault("drop", kind=FILL[kind], count=1)
    venue.fill_entry()
    node.wait_protected()
    measured = {"stop_after_lost_fill_secs": secs_naked(venue)}
    books_agree(node, venue)
    # On USD-M the stop tells of its new order first.
    venue.fault("drop", kind=FILL[kind], count=2 if kind in NUMBERED else 1)
    leave(node, venue)
    books_agree(node, venue)
    node.enter_and_fill()
    venue.fault("drop", kind=FILL[kind], count=1)
    venue.hit_target()
    node.wait("the target's fill is known", lambda: len(node.rows("SELECT 1 FROM trades")) == 2)
    venue.resume_pulse()
    done = "the one message that tells of a fill is dropped: of the entry, the stop, the target"
    finish(node, venue, "F04 lost", done, **measured)


@pytest.mark.parametrize("kind", SPOT)
def test_F04_a_balance_that_nobody_is_told(pair: StartPair, kind: str) -> None:
    """The coins are there and the node was not told: it asks, its stop rests in time, and nobody is held."""
    venue, node = pair(kind, live=RECORDED)
    node.start()
    for wanted in (None, "0.04"):
        node.enter()
        venue.fault("drop", kind=BALANCE[kind], count=BALANCE_MESSAGES)
        if wanted is None:
            venue.fill_entry()
        else:  # in two parts, and the stop of the first is to grow
            venue.fill_entry(wanted)
            venue.fill_entry()
        node.wait_protected()
        venue.fault("clear")
        # The account tells of other money: now its coins seem to be gone, and the venue is asked.
        venue.ctl("balance", asset="USDT", amount="1")
        time.sleep(LOOKED_SECS)
        books_agree(node, venue)
        assert not node.desk()["held"]
        if wanted is None:
            leave(node, venue)
    measured = {"stop_after_lost_balance_secs": secs_naked(venue)}
    assert not node.decisions("external")
    done = "every message with the account's balances is dropped from the entry's fill until the stop rests"
    finish(node, venue, "F04 balance lost", done, **measured)


def secs_naked(venue: FaultVenue) -> float:
    """Return the longest time without an exit so far, as it is recorded."""
    return round(unprotected_secs(venue, venue.records())[0], 3)


@USDM_QUICK
def test_F05_partial_fills_then_the_entry_is_taken_back(pair: StartPair, kind: str) -> None:
    """Each part is protected at once; what is left of the entry goes, the protection stays."""
    venue, node = pair(kind, live=RECORDED)
    node.start()
    node.enter()
    venue.fill_entry("0.04")
    filled_ns = venue.now_ns()
    node.wait_protected()
    first_secs = secs_between(filled_ns, newest(venue, "STOP"))
    venue.fill_entry("0.03")
    node.wait_protected()
    venue.ask_cancel()
    node.wait("the rest is gone", lambda: not venue.is_resting("E"))
    node.wait_protected()
    assert abs(venue.held_qty() - Decimal("0.07")) <= Decimal("0.0001")  # spot: less its fee
    finish(node, venue, "F05", "0.04 and 0.03 of 0.1 fill, then the entry is taken back",
           stop_after_first_fill_secs=first_secs)  # fmt: skip


@ALL
def test_F06_cancellation_is_refused_because_the_entry_filled(pair: StartPair, kind: str) -> None:
    """The event of the fill is lost; the refused cancellation tells, and what is held is protected."""
    venue, node = pair(kind, live=RECORDED)
    node.start()
    node.enter()
    venue.fault("drop", kind="private.*", count=FILL_MESSAGES[kind])
    venue.fill_entry()
    asked_ns = venue.now_ns()
    venue.ask_cancel()
    node.wait_protected()
    finish(node, venue, "F06", "the fill's events are lost, the entry is cancelled",
           stop_after_cancel_secs=secs_between(asked_ns, newest(venue, "STOP")))  # fmt: skip


@ALL
def test_F23_user_stream_expires_then_every_stream_is_closed(pair: StartPair, kind: str) -> None:
    """What fills in that very moment is heard all the same."""
    venue, node = pair(kind, live=RECORDED)
    node.start()
    node.enter()
    venue.fault("listen_key_expiry")
    venue.fill_entry()
    filled_ns = venue.now_ns()
    node.wait_protected()
    expiry_secs = secs_between(filled_ns, newest(venue, "STOP"))
    books_agree(node, venue)
    leave(node, venue)
    node.enter()
    venue.fault("disconnect")
    venue.fill_entry()
    filled_ns = venue.now_ns()
    node.wait_protected()
    closed_secs = secs_between(filled_ns, newest(venue, "STOP"))
    finish(node, venue, "F23", "the account's stream expires; then the venue closes every connection",
           stop_after_expiry_secs=expiry_secs, stop_after_disconnect_secs=closed_secs)  # fmt: skip
