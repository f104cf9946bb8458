"""Channels that work, fail, hang and drip, on loopback: none of it reaches the caller."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from runtime.notify.__main__ import main
from runtime.notify.channels import URLS_VARIABLE, AppriseChannel, ChannelError, parse_addresses
from runtime.notify.events import Event, EventKind
from runtime.notify.notifier import Notifier, open_notifier
from runtime.notify.outbox import Message
from runtime.notify.settings import NotifySettings
from tests.webhook_server import Webhook, webhook_server

QUICK: dict[str, Any] = {
    "console": False,
    "batch_secs": 0.0,
    "per_minute": 0,
    "timeout_secs": 0.2,
    "backoff_secs": 0.01,
    "backoff_max_secs": 0.02,
}


def notifier_for(monkeypatch: pytest.MonkeyPatch, *webhooks: Webhook, **settings: Any) -> Notifier:
    """Return a paper notifier on webhooks."""
    monkeypatch.setenv(URLS_VARIABLE, " ".join(one.address for one in webhooks))
    return open_notifier(NotifySettings(**{**QUICK, **settings}), "paper")


def test_an_event_arrives_with_title_text_and_severity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A halt becomes one webhook call; closing sends what waits for its batch."""
    with webhook_server() as webhook:
        notifier = notifier_for(monkeypatch, webhook, batch_secs=60)
        notifier.tell(EventKind.HALT, "XRPUSDT.BINANCE halted: test")
        (first,) = webhook.wait_for(1)
        notifier.tell(EventKind.FILL, "filled")
        assert notifier.close()
        second = webhook.wait_for(2)[1]
        assert [one.delivered for one in notifier.states()] == [2]
    assert (first["title"], first["type"]) == ("smcbot paper: CRITICAL halt", "failure")
    assert first["message"] == "CRITICAL XRPUSDT.BINANCE halted: test"
    assert (second["message"], second["type"]) == ("filled", "info")


@pytest.mark.parametrize("behaviour", ["fail", "hang", "drip"])
def test_a_broken_channel_touches_neither_the_caller_nor_the_other_channels(
    monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    """The good channel gets everything; posting takes no lock that a send holds."""
    with webhook_server(behaviour) as broken, webhook_server() as good:
        notifier = notifier_for(monkeypatch, broken, good, queue=10)
        notifier.tell(EventKind.FILL, "first")
        broken.wait_for_attempts(1)
        poster = threading.Thread(
            target=lambda: [notifier.tell(EventKind.FILL, str(number)) for number in range(500)]
        )
        poster.start()
        poster.join(10.0)  # seconds; a single send that it waited for would hang for 30
        assert not poster.is_alive()
        good.wait_for(1)
        bad, _good = notifier.states()
        assert bad.delivered == 0
        assert bad.dropped > 400  # the box holds ten
        notifier.close(0.3)
        assert broken.received == []


def test_a_channel_that_recovers_gets_the_critical_message_and_the_count_of_the_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Critical messages are tried until they arrive, others are given up and counted."""
    with webhook_server("fail") as webhook:
        notifier = notifier_for(monkeypatch, webhook, retries=1)
        notifier.tell(EventKind.FILL, "given up")
        webhook.wait_for_attempts(2)
        notifier.tell(EventKind.HALT, "halted")
        webhook.wait_for_attempts(6)
        webhook.behaviour = "ok"
        lines = "\n".join(one["message"] for one in webhook.wait_for(1))
        notifier.close()
    assert "CRITICAL halted" in lines
    assert "1 events were lost" in lines
    assert "given up" not in lines


def test_a_hanging_channel_has_one_thread_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts do not pile up behind one that does not return."""
    with webhook_server("hang") as webhook:
        monkeypatch.setenv(URLS_VARIABLE, webhook.address)
        # The client's own deadline would end the send: it is longer than the test.
        channel = _Stuck()
        notifier = Notifier(NotifySettings(**QUICK), "paper", [channel])
        notifier.tell(EventKind.HALT, "halted")
        _until(lambda: notifier.states()[0].failures >= 4)
        names = [one.name for one in threading.enumerate() if one.name == "send-stuck"]
        assert len(names) == 1
        assert channel.calls == 1
        notifier.close(0.1)
        channel.released.set()


class _Stuck:
    name = "stuck"
    tags = frozenset[str]()

    def __init__(self) -> None:
        self.calls = 0
        self.released = threading.Event()

    def send(self, message: Message, timeout_secs: float) -> None:
        self.calls += 1
        self.released.wait(30)


def _until(is_so: Any, secs: float = 20.0) -> None:
    by = time.monotonic() + secs
    while not is_so():
        assert time.monotonic() < by
        time.sleep(0.01)


def test_a_bug_of_a_channel_is_a_failure_of_that_channel() -> None:
    """Whatever a channel raises, its thread goes on."""

    class Broken(_Stuck):
        def send(self, message: Message, timeout_secs: float) -> None:
            self.calls += 1
            if self.calls < 3:
                raise ZeroDivisionError

    channel = Broken()
    notifier = Notifier(NotifySettings(**QUICK), "paper", [channel])
    notifier.tell(EventKind.FILL, "filled")
    _until(lambda: notifier.states()[0].delivered == 1)
    assert notifier.states()[0].failures == 2
    assert notifier.close()


def test_secrets_leave_neither_by_text_nor_by_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of a secret variable is not in what people get, an address not in what failed."""
    monkeypatch.setenv("BINANCE_API_SECRET", "canary-secret-0123456789")
    with webhook_server() as webhook:
        notifier = notifier_for(monkeypatch, webhook)
        notifier.tell(EventKind.HALT, "refused: canary-secret-0123456789")
        (message,) = webhook.wait_for(1)
        notifier.close()
    assert "canary" not in json.dumps(message)
    (address,) = parse_addresses("json://user:canarypassword@127.0.0.1:9/canarypath")
    with pytest.raises(ChannelError) as refusal:
        AppriseChannel(address, 0.5).send(_message(), 0.5)
    assert "canary" not in str(refusal.value)


def _message() -> Message:
    event = Event(kind=EventKind.TEST, ts_ns=0, text="test")
    return Message("title", "body", event.gravity, (event,))


def test_the_test_command_reports_each_channel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One works and one refuses: exit code 1, one JSON object, no address anywhere."""
    config = tmp_path / "config.yaml"
    config.write_text("notifications: {timeout_secs: 1, events: {halt: {channels: [ops]}}}\n")
    with webhook_server() as good, webhook_server("fail") as bad:
        bad_address = bad.address.replace("//", "//me:canarypassword@")
        monkeypatch.setenv(URLS_VARIABLE, f"ops={good.address} {bad_address}")
        assert main(["test", "--config", str(config), "--json"]) == 1
        captured = capsys.readouterr()
        report = json.loads(captured.out)["channels"]
        assert [(one["channel"], one["delivered"]) for one in report] == [
            ("console", True),
            ("1:json", True),
            ("2:json", False),
        ]
        assert "canary" not in captured.out + captured.err
        assert len(good.received) == 1
        assert main(["test", "--config", str(config), "--event", "halt"]) == 0
        assert "2:json not sent" in capsys.readouterr().out
        assert "Nothing is opened any more" in good.received[1]["message"]


@pytest.mark.parametrize(
    ("urls", "words", "part"),
    [
        ("", ["test"], "there is no channel"),
        ("nonsense", ["test"], "entry 1 is not"),
        ("json://127.0.0.1", ["test", "--event", "hold"], "invalid choice"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    urls: str,
    words: list[str],
    part: str,
) -> None:
    """What is wrong is said on one line."""
    (tmp_path / "config.yaml").write_text("notifications: {console: false}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(URLS_VARIABLE, urls)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert part in captured.err


def test_a_process_ends_although_a_channel_drips() -> None:
    """What never returns does not keep the node alive: the answer would be whole after an hour and a half."""
    import subprocess

    script = (
        "from runtime.notify.notifier import open_notifier\n"
        "from runtime.notify.settings import NotifySettings\n"
        "from runtime.notify.events import EventKind\n"
        "n = open_notifier(NotifySettings(console=False, timeout_secs=30), 'live')\n"
        "n.tell(EventKind.HALT, 'halted')\n"
        "print(n.close(0.5))\n"
    )
    with webhook_server("drip") as webhook:
        environment = {**os.environ, URLS_VARIABLE: webhook.address}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60,
            check=False, cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
        assert webhook.attempts == 1
        assert not webhook.released.is_set()
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr
