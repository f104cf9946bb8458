"""A recording gives back what was written, at any time of it, and survives a killed writer."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ui import protocol as p
from ui import recording
from ui.reasons import REASONS_FILE
from ui.recording import Recording, RecordingError, RecordingWriter
from ui.server.hub import Hub
from ui.server.replayer import Replayer
from ui.terminal_state import SERVER_BUCKETS, TerminalState

XRP = "XRPUSDT.BINANCE"
SECOND = 1_000_000_000
START = 1_773_792_000 * SECOND


def messages(count: int) -> list[p.Message]:
    """Return one message a second: buckets, an order that changes, lines, and a state now and then."""
    made: list[p.Message] = []
    for n in range(count):
        kind: str
        payload: Any
        if n % 7 == 0:
            kind, payload = "st", p.NodeState(mode="backtest", session="r", trader=str(n))
        elif n % 3 == 0:
            kind, payload = "log", p.LogLine(ts=n, level="INFO", src="", text=str(n))
        elif n % 3 == 1:
            kind = "bkt"
            payload = p.Bucket(ins=XRP, i=n, t0=n, t1=n, o=1, h=1, l=1, c=1, v=1, bv=1, sv=0, n=n, imb=1)
        else:
            kind, payload = "zone", p.Zone(
                id=str(n % 5), ins=XRP, type="ob", side=1, i0=n, t0=n, top=2, bot=1, state="active"
            )  # fmt: skip
        made.append(p.Message("e", n + 1, START + n * SECOND, kind, payload))
    return made


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks of a few messages."""
    monkeypatch.setattr(recording, "BLOCK_BYTES", 900)


def record(path: Path, made: list[p.Message], *, closes: bool = True) -> Path:
    """Write messages."""
    state = TerminalState()
    writer = RecordingWriter(path, state, {"run": "r1"})
    for message in made:
        state.apply(message.kind, message.payload)
        writer.write(message)
    if closes:
        writer.close()
    else:
        writer._file.close()
    return path


def folded(made: list[p.Message]) -> Any:
    """Return what is known after some messages."""
    state = TerminalState(SERVER_BUCKETS)
    for message in made:
        state.apply(message.kind, message.payload)
    return plain(state)


def plain(state: TerminalState) -> Any:
    """Return a state to compare: places of the same age have no order between kinds."""
    return msgspec.to_builtins(state.snapshot())


@pytest.mark.usefixtures("small_blocks")
class TestRecording:
    """Reading."""

    def test_every_message_comes_back_in_order(self, tmp_path: Path) -> None:
        """Over all blocks, with the snapshots between them left out."""
        made = messages(100)
        found = Recording(record(tmp_path / "r", made))
        assert len(found.blocks) > 3
        frames = [frame for number in range(len(found.blocks)) for frame in found.frames(number)]
        read = [p.decode(frame) for _, _, kind, frame in frames if kind != p.SNAP]
        assert read == made
        assert found.meta["run"] == "r1"

    @pytest.mark.parametrize("upto", [0, 1, 17, 50, 99])
    def test_at_any_time_exactly_what_was_known_is_known(self, tmp_path: Path, upto: int) -> None:
        """Nothing of later, and nothing of before is missing."""
        made = messages(100)
        found = Recording(record(tmp_path / "r", made))
        state, _, seq = found.state_at(made[upto].ts_ns)
        assert plain(state) == folded(made[: upto + 1])
        assert seq == made[upto].seq

    def test_a_block_holds_no_less_of_messages_than_of_what_was_known(self, tmp_path: Path) -> None:
        """Where a snapshot alone is larger than a block, each message would be written with one."""
        state = TerminalState()
        for n in range(60):
            state.apply("log", p.LogLine(ts=n, level="INFO", src="", text="known before"))
        writer = RecordingWriter(tmp_path / "r", state)
        for message in messages(200):
            state.apply(message.kind, message.payload)
            writer.write(message)
        writer.close()
        found = Recording(tmp_path / "r")
        assert [one.messages for one in found.blocks[:-1] if one.messages < 20] == []
        assert len(found.blocks) > 1

    def test_what_was_known_before_the_first_message_is_part_of_it(self, tmp_path: Path) -> None:
        """A session that is recorded from its middle on has buckets from before."""
        state = TerminalState()
        before, later = messages(20), messages(60)[20:]
        for message in before:
            state.apply(message.kind, message.payload)
        writer = RecordingWriter(tmp_path / "r", state)
        for message in later:
            state.apply(message.kind, message.payload)
            writer.write(message)
        writer.close()
        found, _, _ = Recording(tmp_path / "r").state_at(later[-1].ts_ns)
        assert plain(found) == folded([*before, *later])

    def test_a_killed_writer_leaves_the_whole_blocks(self, tmp_path: Path) -> None:
        """Without an index, and with half a block at the end."""
        made = messages(100)
        path = record(tmp_path / "r", made, closes=False)
        whole = len(Recording(path).blocks)
        path.write_bytes(path.read_bytes()[:-5])
        found = Recording(path)
        assert len(found.blocks) == whole - 1
        assert plain(found.state_at(START)[0]) == folded(made[:1])

    def test_damage_is_named(self, tmp_path: Path) -> None:
        """With the block that has it."""
        path = record(tmp_path / "r", messages(100))
        content = bytearray(path.read_bytes())
        content[200] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="block 0"):
            Recording(path).state_at(START)

    @pytest.mark.parametrize(
        "content", [b"", b"nonsense" * 10, recording.MAGIC, recording.MAGIC + b"\x03\0\0\0abc"]
    )
    def test_another_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        """With its name."""
        (tmp_path / "r").write_bytes(content)
        with pytest.raises(RecordingError, match="r: "):
            Recording(tmp_path / "r")


@pytest.mark.usefixtures("small_blocks")
class TestReplay:
    """Playing."""

    def test_it_ends_with_what_the_run_ended_with(self, tmp_path: Path) -> None:
        """Played message by message, whatever the speed."""
        made = messages(100)
        hub = Hub()
        replayer = Replayer(hub, Recording(record(tmp_path / "r", made)), speed=10.0)
        for _ in range(30):
            replayer.tick(0.5)
        assert self.known(hub) == self.expected(made)
        assert hub.feed.gaps == 0

    def test_it_shows_the_time_that_is_sought_and_nothing_later(self, tmp_path: Path) -> None:
        """Forwards and backwards; browsers get another epoch, thus a snapshot."""
        made = messages(100)
        hub = Hub()
        replayer = Replayer(hub, Recording(record(tmp_path / "r", made)), paused=True)
        epochs = {hub.feed.epoch}
        for upto in (60, 10, 99):
            replayer.steer({"seek_to": made[upto].ts_ns // 1_000_000})
            assert self.known(hub) == self.expected(made[: upto + 1])
            epochs.add(hub.feed.epoch)
        assert len(epochs) == 4

    def test_going_back_tells_the_figures_of_then(self, tmp_path: Path) -> None:
        """Nothing of the account, the risk, the latency or the node's state that was known later only."""
        figures = p.Account(ts=0, equity="1000", day_pnl="0", dd_pct=0.0, fees="0")
        later: list[tuple[str, p.Payload]] = [
            ("acct", figures),
            ("risk", p.Risk()),
            ("lat", p.Latency(last_tick_age_ms=5.0)),
            ("st", p.NodeState(mode="live", session="r", killed=True)),
            ("acct", msgspec.structs.replace(figures, equity="1100")),
        ]
        made = [
            p.Message("e", 1, START, "log", p.LogLine(ts=0, level="INFO", src="", text="begins")),
            *(p.Message("e", n + 2, START + (n + 1) * SECOND, *one) for n, one in enumerate(later)),
        ]
        hub = Hub()
        replayer = Replayer(hub, Recording(record(tmp_path / "r", made)), paused=True)
        seen = []
        for n in (5, 1, 0):
            replayer.steer({"seek_to": made[n].ts_ns // 1_000_000})
            now = hub.feed.state.snapshot()
            assert now.st is not None
            seen.append((now.acct and now.acct.equity, now.risk is None, now.lat is None, now.st.killed))
        assert seen == [("1100", False, False, True), ("1000", True, True, False), (None, True, True, False)]

    def test_a_pause_holds_and_says_so(self, tmp_path: Path) -> None:
        """Time stands until it goes on."""
        hub = Hub()
        replayer = Replayer(hub, Recording(record(tmp_path / "r", messages(100))), speed=1.0)
        replayer.steer({"paused": True})
        before = replayer.at_ns
        replayer.tick(5.0)
        node = hub.node()
        assert replayer.at_ns == before
        assert node is not None
        assert node.replay is not None
        assert (node.mode, node.replay.paused) == ("replay", True)
        replayer.steer({"paused": False, "speed": 2.0})
        replayer.tick(5.0)
        assert replayer.at_ns == before + 10 * SECOND

    def test_decisions_say_why_played_and_sought(self, tmp_path: Path) -> None:
        """From the file that a backtest writes after its end; others stay without."""
        said = [
            p.ModelDecision(
                ins=XRP, ts=START // 1_000_000 + n, i=n, setup=f"S{n}", p=0.2, thr=0.3, verdict="cancel"
            )
            for n in range(2)
        ]
        made = [p.Message("e", n + 1, START + n * SECOND, "mdl", one) for n, one in enumerate(said)]
        top = [{"feature": "vpin", "value": 0.9, "contribution": -0.4}]
        line = {"ts_ns": said[1].ts * 1_000_000, "instrument_id": XRP, "setup_id": "S1", "top": top}
        (tmp_path / REASONS_FILE).write_bytes(msgspec.json.encode(line) + b"\n")
        hub = Hub()
        replayer = Replayer(hub, Recording(record(tmp_path / "r", made)))
        replayer.tick(5.0)
        assert [one.why for one in hub.feed.state.snapshot().mdl] == [[], [("vpin", -0.4)]]
        replayer.steer({"seek_to": said[1].ts + 1_000})
        assert [one.why for one in hub.feed.state.snapshot().mdl] == [[], [("vpin", -0.4)]]

    @pytest.mark.parametrize(
        "wanted",
        [{"speed": 0}, {"speed": "1"}, {"paused": 1}, {"seek_to": "x"}, {"speed": 1e9}, {"seek_to": -1}],
    )
    def test_nonsense_changes_nothing(self, tmp_path: Path, wanted: dict[str, Any]) -> None:
        """And is refused with the name of the field."""
        replayer = Replayer(Hub(), Recording(record(tmp_path / "r", messages(10))))
        with pytest.raises(ValueError, match=next(iter(wanted))):
            replayer.steer(wanted)

    @staticmethod
    def known(hub: Hub) -> Any:
        """Return what a hub knows, without the state that the replay fills in."""
        found = plain(hub.feed.state)
        del found["st"]
        return found

    @staticmethod
    def expected(made: list[p.Message]) -> Any:
        """Return what should be known."""
        found = folded(made)
        del found["st"]
        return found


def test_recordings_of_version_one_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lack closed trades and times of answers, and say so; those to come are refused by their number."""
    for version in (1, p.VERSION + 1):
        path, state = tmp_path / f"{version}.rec", TerminalState()
        with monkeypatch.context() as patch:
            patch.setattr(recording, "VERSION", version)
            writer = RecordingWriter(path, state, {})
            for message in messages(20):
                state.apply(message.kind, message.payload)
                writer.write(message)
            writer.close()
    assert Recording(tmp_path / "1.rec").state_at(START + 20 * SECOND)[0].node is not None
    hub = Hub()
    Replayer(hub, Recording(tmp_path / "1.rec"), paused=True)
    assert (node := hub.node()) is not None
    assert node.replay is not None
    assert node.replay.protocol == 1
    with pytest.raises(RecordingError, match=f"protocol {p.VERSION + 1}, expected 1 or 2"):
        Recording(tmp_path / f"{p.VERSION + 1}.rec")
