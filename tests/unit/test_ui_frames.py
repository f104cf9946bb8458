"""What a browser is sent: conflated, acknowledged, without gaps, and never more than one frame ahead."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui import protocol as p
from ui.server.feed import Feed
from ui.server.frames import BEAT_SECS, FIRST_SECS, SNAP_SECS, STUCK_SECS, Frame, FrameMaker, Window
from ui.server.packed import PackedState, columns_of
from ui.terminal_state import TerminalState

XRP, ADA = "XRPUSDT.BINANCE", "ADAUSDT.BINANCE"


def bucket(i: int, ins: str = XRP) -> p.Bucket:
    """Return a bucket that says its number everywhere."""
    return p.Bucket(ins=ins, i=i, t0=i * 10, t1=i * 10 + 9, o=i, h=i, l=i, c=i, v=1, bv=1, sv=0, n=1, imb=1)


def zone(name: str, state: Any = "active", ins: str = XRP) -> p.Zone:
    """Return a zone."""
    return p.Zone(id=name, ins=ins, type="ote", side=1, i0=0, t0=0, top=2, bot=1, state=state)


def order(name: str, status: str = "ACCEPTED") -> p.OrderView:
    """Return an order."""
    return p.OrderView(
        coid=name, ins=XRP, setup="S", role="entry", side="buy", type="LIMIT", tif="GTC", qty="1", filled="0",
        status=status, ts=0,
    )  # fmt: skip


def line(text: str) -> p.LogLine:
    """Return a line of the log."""
    return p.LogLine(ts=0, level="INFO", src="test", text=text)


class Node:
    """The node's side: numbers what it sends, and folds it."""

    def __init__(self, epoch: str = "e1") -> None:
        self.epoch, self.seq, self.state = epoch, 0, TerminalState()

    def say(self, kind: str, payload: Any) -> p.Message:
        """Return a message, folded."""
        self.state.apply(kind, payload)
        return self._message(kind, payload)

    def snap(self) -> p.Message:
        """Return a snapshot."""
        return self._message(p.SNAP, self.state.snapshot())

    def _message(self, kind: str, payload: Any) -> p.Message:
        self.seq += 1
        # Over the wire and back, so that structs and bytes both are tested.
        return p.decode(p.encode(p.Message(self.epoch, self.seq, 1_000_000 * self.seq, kind, payload)))


class Browser:
    """Applies frames as the protocol says; asks for a snapshot when one does not fit."""

    def __init__(self, ins: str | None = XRP) -> None:
        self.window = Window(ins, "viewer")
        self.state = TerminalState()
        self.epoch, self.seq, self.under_way = "", -1, []
        self.resyncs = 0

    def receive(self, frame: Frame) -> None:
        """Apply a frame."""
        body = msgspec.json.decode(msgspec.json.encode(frame.body))
        if body["t"] == "snap":
            self.state = TerminalState()
            self.state.restore(msgspec.convert(body["S"], p.Snapshot))
        elif (body["epoch"], body["from"]) != (self.epoch, self.seq):
            self.resyncs += 1
            self.window.resync()
            return
        else:
            for _, kind, payload in body["e"]:
                self.state.apply(kind, msgspec.convert(payload, p.KINDS[kind]))
        self.epoch, self.seq = body["epoch"], body["seq"]


def tick(feed: Feed, browser: Browser, now_s: float, *, answers: bool = True) -> Frame | None:
    """Send what is due; the browser takes it, and acknowledges."""
    maker = FrameMaker(feed)
    maker.begin(now_s, 0)
    made = browser.window.next(maker, now_s)
    if made is None:
        return None
    browser.receive(made[1])
    if answers:
        browser.window.acknowledge(made[0])
    return made[1]


def started(*messages: p.Message, node: Node | None = None) -> tuple[Node, Feed]:
    """Return a node and a feed that has its snapshot."""
    node = node or Node()
    feed = Feed()
    feed.take(node.snap(), 0.0)
    for message in messages:
        feed.take(message, 0.0)
    return node, feed


def shown(state: TerminalState) -> Any:
    """Return what a browser can know of a state: buckets come by HTTP, zones of its instrument only."""
    return msgspec.to_builtins(state.snapshot(XRP, with_buckets=False))


MESSAGES = st.one_of(
    st.tuples(
        st.just("zone"), st.builds(zone, st.sampled_from("abc"), st.sampled_from(["active", "expired"]))
    ),
    st.tuples(st.just("zone"), st.builds(zone, st.just("far"), st.just("active"), st.just(ADA))),
    st.tuples(
        st.just("ord"), st.builds(order, st.sampled_from("xyz"), st.sampled_from(["ACCEPTED", "FILLED"]))
    ),
    st.tuples(st.just("log"), st.builds(line, st.text(max_size=3))),
    st.tuples(st.just("hb"), st.builds(p.Heartbeat, loop_lag_ms=st.floats(0, 9))),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), MESSAGES),
        st.tuples(st.just("tick"), st.booleans()),
        st.tuples(st.just("lost"), st.integers(1, 3)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 8))
def test_a_browser_that_applies_frames_knows_what_the_node_knows(steps: list[Any], ring: int) -> None:
    """Whatever is conflated, lost, acknowledged late or forgotten, both end with the same state."""
    node, feed, browser, now_s = Node(), Feed(ring), Browser(), 0.0
    for step, detail in steps:
        now_s += 0.04
        if step == "say":
            if feed.take(node.say(*detail), now_s) == "gap":
                feed.take(node.snap(), now_s)
        elif step == "tick":
            browser.window.acknowledge(browser.window.sent)
            tick(feed, browser, now_s, answers=detail)
        elif step == "lost":
            for _ in range(detail):
                node.say("log", line("lost"))
        else:
            node = Node(f"e{now_s}")
            feed.take(node.snap(), now_s)
    if feed.take(node.say("log", line("end")), now_s) != "taken":
        feed.take(node.snap(), now_s)
    browser.window.acknowledge(browser.window.sent)
    for _ in range(3):
        now_s += SNAP_SECS
        tick(feed, browser, now_s)
    assert shown(browser.state) == shown(node.state)
    assert not browser.resyncs


def test_of_each_thing_only_the_last_state_is_sent_and_of_lines_every_one() -> None:
    """Three states of one order are one event; three lines are three."""
    node, feed = started()
    browser = Browser()
    tick(feed, browser, 0.0)
    for status in ("SUBMITTED", "ACCEPTED", "FILLED"):
        feed.take(node.say("ord", order("x", status)), 0.1)
        feed.take(node.say("log", line(status)), 0.1)
    frame = tick(feed, browser, 0.1)
    assert frame is not None
    events = msgspec.json.decode(frame.body["e"])
    assert [(kind, one.get("status") or one["text"]) for _, kind, one in events] == [
        ("log", "SUBMITTED"), ("log", "ACCEPTED"), ("ord", "FILLED"), ("log", "FILLED"),
    ]  # fmt: skip


def test_no_frame_follows_one_that_is_not_acknowledged() -> None:
    """What happens meanwhile comes in one frame after the acknowledgement."""
    node, feed = started()
    browser = Browser()
    tick(feed, browser, 0.0)
    feed.take(node.say("log", line("a")), 0.1)
    assert tick(feed, browser, 0.1, answers=False) is not None
    feed.take(node.say("log", line("b")), 0.2)
    feed.take(node.say("log", line("c")), 0.2)
    assert tick(feed, browser, 0.2) is None
    browser.window.acknowledge(browser.window.sent)
    assert tick(feed, browser, 0.3) is not None
    assert [one.text for one in browser.state.snapshot().log] == ["a", "b", "c"]


def test_who_acknowledges_nothing_is_stuck() -> None:
    """Not before its time, and not after its answer."""
    _, feed = started()
    browser = Browser()
    tick(feed, browser, 0.0)
    tick(feed, browser, BEAT_SECS, answers=False)
    assert not browser.window.is_stuck(BEAT_SECS + STUCK_SECS - 0.1)
    assert browser.window.is_stuck(BEAT_SECS + STUCK_SECS)
    browser.window.acknowledge(browser.window.sent)
    assert not browser.window.is_stuck(99.0)


def test_the_first_frame_is_sent_again_when_it_gets_lost() -> None:
    """It may have come before the browser listened."""
    _, feed = started()
    browser = Browser()
    assert tick(feed, browser, 0.0, answers=False) is not None
    assert tick(feed, browser, FIRST_SECS - 0.1) is None
    again = tick(feed, browser, FIRST_SECS)
    assert again is not None
    assert again.body["t"] == "snap"


def test_an_empty_frame_tells_that_the_link_lives_and_how_old_the_node_is() -> None:
    """Twice a second, also when the node is silent."""
    _, feed = started()
    browser = Browser()
    tick(feed, browser, 0.0)
    assert tick(feed, browser, BEAT_SECS - 0.01) is None
    frame = tick(feed, browser, 5.0)
    assert frame is not None
    assert (frame.body["age_ms"], msgspec.json.decode(frame.body["e"])) == (5_000.0, [])


def test_who_fell_out_of_the_ring_gets_a_snapshot() -> None:
    """And from then on deltas again."""
    node, feed = Node(), Feed(ring=3)
    feed.take(node.snap(), 0.0)
    browser = Browser()
    tick(feed, browser, 0.0)
    for number in range(5):
        feed.take(node.say("log", line(str(number))), 0.1)
    frame = tick(feed, browser, 1.0)
    assert frame is not None
    assert frame.body["t"] == "snap"
    assert len(browser.state.snapshot().log) == 5


def test_asking_for_snapshots_without_end_is_slowed() -> None:
    """A snapshot costs what many deltas do."""
    _, feed = started()
    browser = Browser()
    sent = 0
    for step in range(100):
        browser.window.resync()
        sent += tick(feed, browser, step * 0.01) is not None
    assert sent <= 1 / SNAP_SECS + 1


def test_another_instrument_is_another_snapshot() -> None:
    """Its zones come, the other's do not."""
    node = Node()
    node.say("zone", zone("here"))
    node.say("zone", zone("there", ins=ADA))
    _, feed = started(node=node)
    browser = Browser()
    tick(feed, browser, 0.0)
    assert [one.id for one in browser.state.snapshot().zone] == ["here"]
    browser.window.look_at(ADA)
    tick(feed, browser, 1.0)
    assert [one.id for one in browser.state.snapshot().zone] == ["there"]


def test_a_gap_is_noticed_and_nothing_is_applied_until_the_snapshot() -> None:
    """State between a lost message and the snapshot would be wrong."""
    node, feed = started()
    node.say("log", line("lost"))
    assert feed.take(node.say("log", line("after")), 0.1) == "gap"
    assert feed.take(node.say("log", line("later")), 0.1) == "waiting"
    assert not feed.state.snapshot().log
    assert feed.take(node.snap(), 0.2) == "taken"
    assert [one.text for one in feed.state.snapshot().log] == ["lost", "after", "later"]


def test_a_message_that_comes_twice_counts_once() -> None:
    """Sockets may be renewed while messages are under way."""
    node, feed = started()
    message = node.say("log", line("a"))
    feed.take(message, 0.1)
    assert feed.take(message, 0.1) == "taken"
    assert len(feed.state.snapshot().log) == 1


def test_what_waited_in_a_queue_is_old_when_it_arrives() -> None:
    """The age counts from the node's clock where it trades, and from the arrival in a replay."""
    node, feed = started()
    for mode, age_ms in (("paper", 3_000.0), ("replay", 1_000.0)):
        feed.take(node.say("st", p.NodeState(mode=mode, session="s")), 10.0)  # type: ignore[arg-type]
        now_ns = feed.ts_ns + 3_000_000_000
        assert feed.age_ms(11.0, now_ns) == pytest.approx(age_ms)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"\xc1", "no message"),
        (msgspec.msgpack.encode(["e", 1, 0, "nonsense", {}]), "unknown kind"),
        (msgspec.msgpack.encode(["e", 1, 0, "hb", {"loop_lag_ms": "a"}]), "loop_lag_ms"),
        (msgspec.msgpack.encode(["e", 1, 0, "log", {}]), "ts"),
    ],
)
def test_bytes_that_are_no_message_are_refused(frame: bytes, words: str) -> None:
    """With what is wrong."""
    with pytest.raises(p.ProtocolError, match=words):
        p.decode(frame)


def full_bucket(i: int, vpin: float | None = None, p_: float | None = None, late: int = 0) -> p.Bucket:
    """Return a bucket with every field of its own; `late` moves its times."""
    at = 1_773_792_000_000 + i + late
    return p.Bucket(
        ins=XRP, i=i, t0=at, t1=at, o=1.1, h=4.25, l=0.1, c=2.3, v=1e9,
        bv=7.125, sv=1e9 / 3, n=17, imb=-0.3, vpin=vpin, vol=None, p=p_, dir=-1, tainted=bool(i % 2),
    )  # fmt: skip


class TestPackedState:
    """The server's state, which keeps its buckets packed, is that of the node."""

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 40), st.none() | st.floats(0, 1), st.none() | st.floats(-1e9, 1e9)
            ),
            max_size=80,
        ),
        st.integers(-1, 45), st.integers(-1, 45), st.integers(1, 20),
    )  # fmt: skip
    def test_it_is_the_plain_one(
        self, told: list[tuple[int, float | None, float | None]], first: int, last: int, limit: int
    ) -> None:
        """Whatever comes, also numbers that begin anew; pages and their columns too."""
        plain, packed = TerminalState(10), PackedState(10)
        for number, vpin, probability in told:
            for state in (plain, packed):
                state.apply("bkt", full_bucket(number, vpin, probability))
        assert packed.snapshot() == plain.snapshot()
        assert packed.span(XRP) == plain.span(XRP)
        page = plain.buckets(XRP, first, last, limit)
        assert packed.buckets(XRP, first, last, limit) == page
        columns = columns_of(packed.page(XRP, first, last, limit))
        assert json.loads(msgspec.json.encode(columns)) == {
            name: [getattr(one, name) for one in page] for name in p.Bucket.__struct_fields__ if name != "ins"
        }
        again = PackedState(10)
        again.restore(packed.snapshot())
        assert again.snapshot() == plain.snapshot()

    @given(
        st.lists(st.integers(0, 30), max_size=40), st.lists(st.integers(0, 30), max_size=40),
        st.sampled_from((0, -5)), st.booleans(), st.booleans(),
    )  # fmt: skip
    def test_it_goes_on_after_a_snapshot_like_the_plain_one(
        self, before: list[int], after: list[int], late: int, is_same_run: bool, is_in_parts: bool
    ) -> None:
        """Buckets that the snapshot's continue are kept, others are not; also where history came in parts."""
        node, plain, packed = TerminalState(10), TerminalState(20), PackedState(20)
        for number in before:
            for state in (plain, packed):
                state.apply("bkt", full_bucket(number))
        past = PackedState(10)
        for number in after:
            node.apply("bkt", full_bucket(number, late=late))
            past.apply("bkt", full_bucket(number, late=late))
        plain.restore(node.snapshot(), is_same_run=is_same_run)
        packed.restore(
            node.snapshot(with_buckets=not is_in_parts),
            is_same_run=is_same_run,
            past=past if is_in_parts else None,
        )
        assert packed.snapshot() == plain.snapshot()
        for number in (31, 32):
            for state in (plain, packed):
                state.apply("bkt", full_bucket(number))
        assert packed.snapshot() == plain.snapshot()

    def test_it_needs_a_third_of_the_memory(self) -> None:
        """Of many instruments this is most of what the server has."""

        def bytes_of(kind: type[TerminalState]) -> int:
            state = kind(5_000)
            tracemalloc.start()
            try:
                for i in range(5_000):
                    state.apply(
                        "bkt",
                        p.decode(p.encode(p.Message("e", i, 0, "bkt", full_bucket(i, 0.1, 0.2)))).payload,
                    )
                return tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()

        assert bytes_of(PackedState) < bytes_of(TerminalState) / 3


class TestState:
    """Folding."""

    def test_older_buckets_survive_a_snapshot_that_continues_them(self) -> None:
        """The node keeps fewer than the server."""
        state = TerminalState(max_buckets=100)
        for i in range(50):
            state.apply("bkt", bucket(i))
        later = TerminalState(max_buckets=10)
        for i in range(60):
            later.apply("bkt", bucket(i))
        state.restore(later.snapshot(), is_same_run=True)
        assert state.span(XRP) == (0, 59)
        assert [one.i for one in state.buckets(XRP, 0, 99, 5)] == [55, 56, 57, 58, 59]

    def test_buckets_of_a_node_that_counts_anew_replace_the_old_ones(self) -> None:
        """Two buckets of one number would be two points at one place."""
        state = TerminalState()
        for i in range(50):
            state.apply("bkt", bucket(i))
        anew = TerminalState()
        anew.apply("bkt", bucket(7))
        state.restore(anew.snapshot())
        assert state.span(XRP) == (7, 7)

    def test_a_warm_up_in_a_session_counts_anew_from_where_it_begins(self) -> None:
        """What it brings takes the place of what stood there."""
        state = TerminalState()
        for i in (*range(50), *range(40, 52)):
            state.apply("bkt", bucket(i))
        assert [one.i for one in state.buckets(XRP, 0, 99, 100)] == list(range(52))

    def test_live_zones_and_orders_are_never_dropped(self) -> None:
        """Those that ended are, oldest first."""
        state = TerminalState()
        state.apply("zone", zone("old"))
        state.apply("ord", order("old"))
        for number in range(3_000):
            state.apply("zone", zone(f"z{number}", "expired"))
            state.apply("ord", order(f"o{number}", "FILLED"))
        snapshot = state.snapshot()
        assert "old" in {one.id for one in snapshot.zone}
        assert "old" in {one.coid for one in snapshot.ord}
        assert len(snapshot.zone) == 1_001
        assert len(snapshot.ord) == 501
        assert snapshot.zone[-1].id == "z2999"

    def test_what_never_ends_is_bounded_too(self) -> None:
        """A node that forgets to tell of ends must not fill the memory of who hears it; the newest stay."""
        state = TerminalState()
        for number in range(10_500):
            state.apply("zone", zone(f"z{number}"))
            state.apply("ord", order(f"o{number}"))
            state.apply("pos", p.PositionView(
                ins=XRP, setup=f"S{number}", side="long", qty="1", avg="1", rpnl="0", since=0
            ))  # fmt: skip
        snapshot = state.snapshot()
        assert [len(snapshot.zone), len(snapshot.ord), len(snapshot.pos)] == [10_000] * 3
        assert snapshot.zone[-1].id == "z10499"

    def test_what_has_ended_and_lives_again_is_not_dropped_as_ended(self) -> None:
        """A dealing range that is extended, for one."""
        state = TerminalState()
        state.apply("zone", zone("again", "expired"))
        state.apply("zone", zone("again"))
        for number in range(3_000):
            state.apply("zone", zone(f"z{number}", "expired"))
        assert state.snapshot().zone[0].id == "again"

    def test_a_flat_position_is_gone(self) -> None:
        """It is told once, as flat."""
        state = TerminalState()
        held = p.PositionView(ins=XRP, setup="S", side="long", qty="1", avg="1", rpnl="0", since=0)
        state.apply("pos", held)
        state.apply("pos", msgspec.structs.replace(held, side="flat"))
        assert not state.snapshot().pos

    def test_a_closed_bucket_ends_the_one_that_developed(self) -> None:
        """Else it would be drawn twice."""
        state = TerminalState()
        closed = bucket(3)
        fields = {name: getattr(closed, name) for name in closed.__struct_fields__}
        state.apply("dev", p.Developing(**fields, fill=0.9))
        state.apply("bkt", closed)
        assert not state.snapshot().dev
