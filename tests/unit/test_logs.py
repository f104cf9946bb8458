"""Logs: JSON with correlation ids, readable on a terminal, and no secret in either."""

import io
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ConfigurationError
from runtime.logs import correlated, service_logs, set_up_logs
from runtime.nautilus_log import NautilusLog, nautilus_record, put_aside
from runtime.redact import MASK, Redactor, secret_values
from tests.canary import CANARY, files_with_canary

ROOT = Path(__file__).resolve().parents[2]
log = logging.getLogger("smcbot.test")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Send logs to memory while the test runs."""
    stream = io.StringIO()
    undo = set_up_logs(stream=stream, redact=Redactor([CANARY]))
    yield stream
    undo()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_message_ids_and_fields(output: io.StringIO) -> None:
    """Ids hold inside their block, in nested ones too, and not after it."""
    with correlated(session="s1"):
        with correlated(intent="oteXRPe1", trade="t9"):
            log.warning("stop refused: %s", "price", extra={"qty": 3.5, "limits": {"low": float("nan")}})
        log.info("after")
    log.info("outside")
    first, second, third = lines(output)
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warning",
        "logger": "smcbot.test",
        "message": "stop refused: price",
        "session": "s1",
        "intent": "oteXRPe1",
        "trade": "t9",
        "qty": 3.5,
        "limits": {"low": "nan"},
    }
    assert (second["session"], "trade" in second, "session" in third) == ("s1", False, False)


def test_threads_do_not_see_each_others_ids(output: io.StringIO) -> None:
    """An id belongs to the thread that set it."""
    with correlated(trade="mine"):
        other = threading.Thread(target=lambda: log.info("other"))
        other.start()
        other.join()
    assert "trade" not in lines(output)[0]


def test_an_unknown_id_is_refused() -> None:
    """A typo must not lose the correlation."""
    with pytest.raises(ValueError, match="sesion is no correlation id"), correlated(sesion="s1"):
        pass


def test_a_terminal_gets_readable_lines() -> None:
    """Time, level and message first, ids and fields behind, a traceback below."""
    stream = Terminal()
    undo = set_up_logs(stream=stream, redact=Redactor([CANARY]))
    with correlated(trade="t9"):
        log.info("filled", extra={"qty": 2})
        try:
            raise ValueError(f"key {CANARY}")  # noqa: TRY301
        except ValueError:
            log.exception("broken")
    undo()
    first, *rest = stream.getvalue().splitlines()
    assert first[12:].strip().endswith("INFO     smcbot.test: filled trade=t9 qty=2")
    assert rest[-1] == f"ValueError: key {MASK}"


@pytest.mark.parametrize(
    "text",
    [
        f"value {CANARY} in a sentence",
        f"GET https://api.binance.com/api/v3/order?symbol=X&timestamp=1&signature={'ab' * 32}{CANARY}",
        f"headers: {{'X-MBX-APIKEY': '{CANARY}x'}}",
        f"Authorization: Bearer {CANARY}.y",
        f"postgresql://user:{CANARY}pw@db.example/x",
        f"tgram://123:{CANARY}/99",
        f"https://discord.com/api/webhooks/1/{CANARY}",
        f"https://api.telegram.org/bot123456:{CANARY}AAAAAAAAAAAAAAAAAAAAAAAA/sendMessage",
        f'{{"api_secret": "{CANARY}"}}',
        f"listenKey={CANARY}",
        f"aws_secret={CANARY} and DB_PASSWORD: '{CANARY}'",
        f"mailto:bot:{CANARY}@mail.example",
        f"login bot:{CANARY}@mail.example failed",
        f"json://bot:pw@hook.example/{CANARY}?x=1",
        f"postgresql://bot:a@{CANARY}@db.example/x and postgresql://bot:a/{CANARY}@db.example/x",
        f"postgresql://bot@db.example/x?sslpassword={CANARY}",
        f"token eyJhbGciOiJIUzI1NiJ9.{CANARY}.abc-DEF_123",
        f'{{"password": "two words, {CANARY}", "user": "x"}}',
        f"password='two \\' words {CANARY}' next",
        f'{{"body": "{{\\"api_secret\\": \\"two {CANARY}\\"}}"}}',
        f"password=[redacted]{CANARY}",
    ],
)
def test_shapes_of_secrets_are_taken_out_even_if_the_value_is_unknown(text: str) -> None:
    """Without knowing the value, all but the first text lose it by its shape."""
    redact = Redactor([CANARY] if text.startswith("value") else [])
    cleaned = redact(text)
    assert CANARY not in cleaned
    assert MASK in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "XRPUSDT.BINANCE entry cancelled: p_fill 0.12 < 0.30",
        "https://api.binance.com/api/v3/klines?symbol=XRPUSDT&interval=5m",
        "sqlite:///var/journal.sqlite is locked",
        "key figures: 12 trades, design signed off",
        "trend_sign: 1, design: blue, 5 tokens, levels 12:30:05, 10@1.05",
        "http://localhost:8080/metrics?email=a@b.example",
        "mail to admin@mail.example at 12:30",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """Redaction that eats the log helps nobody."""
    assert Redactor()(text) == text


def test_secret_variables_are_known_by_their_names() -> None:
    """Keys, tokens, passwords, addresses; not ordinary settings, and no value too short to be one."""
    environment = {
        "BINANCE_API_KEY": "k" * 20,
        "BYBIT_API_SECRET": "s" * 20,
        "TRADING_NOTIFY_URLS": "tgram://abcdef json://ghijkl",
        "DB_PASSWORD": "p w/7890",
        "TOKEN": "1234",
        "LANG": "de_DE.UTF-8",
        "KEYBOARD_LAYOUT": "de-latin1",
    }
    found = secret_values(environment)
    assert {"k" * 20, "s" * 20, "tgram://abcdef", "json://ghijkl", "p w/7890", "p%20w%2F7890"} <= found
    assert not found & {"1234", "de_DE.UTF-8", "de-latin1"}


def test_passwords_inside_addresses_are_learned_whatever_the_variable_is_called() -> None:
    """Alone, decoded, encoded, and with their address; an address without a login is no secret."""
    url = "postgresql://bot:hunter%40two@db.example/x"
    environment = {"SMCBOT_JOURNAL_URL": url, "CATALOG": "sqlite:///var/journal.sqlite"}
    assert secret_values(environment) == {url, "hunter%40two", "hunter@two", "hunter%2540two"}
    assert Redactor.of_environment(environment)("no login with hunter@two") == f"no login with {MASK}"


def test_secrets_in_fields_and_tracebacks_are_taken_out(output: io.StringIO) -> None:
    """The arguments, the extra fields, a nested mapping, and the text of an exception and its cause."""
    try:
        try:
            raise OSError(f"refused {CANARY}")  # noqa: TRY301
        except OSError as error:
            raise RuntimeError("no connection") from error
    except RuntimeError:
        extra = {"headers": {"X-Api": [CANARY]}, "api_key": "unknown-value-7"}
        log.exception("failed with %s", CANARY, extra=extra)
    text = output.getvalue()
    assert CANARY not in text
    assert "unknown-value-7" not in text
    (line,) = lines(output)
    assert f"OSError: refused {MASK}" in line["traceback"]


def test_keys_and_values_with_spaces_are_cleaned(output: io.StringIO) -> None:
    """A secret as a key; a secret field whose value is words or a number."""
    log.info("x", extra={"by": {f"key {CANARY}": 1}, "db_password": "two words", "token": 123456, "sign": -1})
    log.info("x", extra={"headers": {"Set-Cookie": f"a=1; {CANARY[:20]}", "X-BAPI-SIGN": CANARY[:20]}})
    line, second = lines(output)
    assert CANARY[:20] not in json.dumps(second)
    assert line["sign"] == -1
    assert line["by"] == {f"key {MASK}": 1}
    assert (line["db_password"], line["token"]) == (MASK, MASK)


def test_a_record_that_cannot_be_written_does_not_print_its_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Console and file say where, not what; the standard library prints the arguments."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest raise
    undo = set_up_logs(file=tmp_path / "node.jsonl", stream=io.StringIO(), redact=Redactor())
    log.info("%d orders", CANARY)
    undo()
    said = capsys.readouterr().err
    assert CANARY not in said
    assert said.count("a log record of test_logs.py:") == 2
    assert "TypeError" in said


def test_a_crash_of_a_thread_leaves_a_file_without_secrets(
    tmp_path: Path, canary_environment: dict[str, str]
) -> None:
    """As one of the process; a thread that ends itself is no crash."""
    script = (
        "import os, sys, threading\nfrom pathlib import Path\n"
        "from runtime.logs import install_crash_handler\n"
        "install_crash_handler(Path('crashes'))\n"
        "def work(): raise RuntimeError('refused: ' + os.environ['BINANCE_API_SECRET'])\n"
        "for one in (work, sys.exit):\n    t = threading.Thread(target=one, name='feed')\n"
        "    t.start()\n    t.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**canary_environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    (crash,) = (tmp_path / "crashes").iterdir()
    assert "RuntimeError: refused: " in crash.read_text()
    assert done.stderr.startswith("thread feed crashed: RuntimeError: refused: ")
    assert CANARY not in done.stderr + done.stdout
    assert files_with_canary(tmp_path) == []


def test_a_file_rotates_by_size_and_keeps_so_many(tmp_path: Path) -> None:
    """No line is cut, the oldest file goes."""
    file = tmp_path / "logs" / "node.jsonl"
    undo = set_up_logs(file=file, stream=io.StringIO(), file_bytes=2_000, files_kept=2)
    for number in range(100):
        log.info("line %d", number)
    undo()
    kept = sorted(file.parent.iterdir())
    assert [one.name for one in kept] == ["node.jsonl", "node.jsonl.1", "node.jsonl.2"]
    assert all(one.stat().st_size <= 2_000 for one in kept)
    numbers = [json.loads(line)["message"] for one in reversed(kept) for line in one.read_text().splitlines()]
    assert numbers == [f"line {number}" for number in range(100 - len(numbers), 100)]


def test_a_bad_file_and_a_bad_level_are_refused(tmp_path: Path) -> None:
    """With the file, or the level, in the message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="the log cannot be opened"):
        set_up_logs(file=tmp_path / "file" / "node.jsonl", stream=io.StringIO())
    with pytest.raises(ConfigurationError, match="'LOUD' is not one of DEBUG"):
        set_up_logs(level="LOUD", stream=io.StringIO())


def test_a_crash_leaves_a_file_without_secrets(tmp_path: Path, canary_environment: dict[str, str]) -> None:
    """One line on stderr says where; the file has the traceback and is its owner's alone."""
    script = (
        "import os\nfrom pathlib import Path\nfrom runtime.logs import install_crash_handler\n"
        "install_crash_handler(Path('crashes'))\n"
        "raise RuntimeError('refused: ' + os.environ['BINANCE_API_SECRET'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**canary_environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    (crash,) = (tmp_path / "crashes").iterdir()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert crash.name in done.stderr
    assert "RuntimeError: refused: " in crash.read_text()
    assert crash.stat().st_mode & 0o077 == 0
    assert CANARY not in done.stderr + done.stdout
    assert files_with_canary(tmp_path) == []


def test_lines_of_nautilus_take_our_form(output: io.StringIO, tmp_path: Path) -> None:
    """Its file is followed as it grows: its own times and levels, no colours, no secrets, no half lines."""
    file = tmp_path / "nautilus.log"
    head = "2026-03-18T00:00:00.123456789Z"
    with NautilusLog(file, poll_secs=0.01), file.open("w") as writer:
        writer.write(f"\x1b[1m{head}\x1b[0m [WARN] T-1.Risk: denied {CANARY[:10]}")
        writer.flush()
        time.sleep(0.05)
        writer.write(
            f"{CANARY[10:]}\nand its second line\n{head} [DEBUG] T-1.Data: tick\n{head} [INFO] T-1.X: up"
        )
    file.unlink()  # Nautilus' own file is not ours to redact; here it held a secret
    assert [(one["time"], one["level"], one["logger"], one["message"]) for one in lines(output)] == [
        ("2026-03-18T00:00:00.123Z", "warning", "nautilus.T-1.Risk", f"denied {MASK}"),
        (lines(output)[1]["time"], "warning", "nautilus", "and its second line"),
        ("2026-03-18T00:00:00.123Z", "info", "nautilus.T-1.X", "up"),
    ]
    assert nautilus_record("Traceback (most recent call last):") is None


def test_a_log_in_several_files_is_followed_without_losing_a_line(
    output: io.StringIO, tmp_path: Path
) -> None:
    """Nautilus goes on in a new file and deletes the oldest; of the next session's only the last is kept."""
    head, file = "2026-03-18T00:00:00.000000000Z [INFO] T-1.X:", tmp_path / "nautilus.log"
    parts = [tmp_path / f"nautilus_2026-03-18_00000{number}-000.log" for number in range(3)]
    with NautilusLog(file, poll_secs=0.01):
        with parts[0].open("w") as first, parts[1].open("w") as second:
            first.write(f"{head} 0\n")
            first.flush()
            time.sleep(0.05)
            parts[0].unlink()
            second.write(f"{head} 1\n")
        parts[2].write_text(f"{head}\n{head} 2\n")
    assert [one["message"] for one in lines(output)] == ["0", "1", "", "2"]
    put_aside(file)
    (left,) = tmp_path.iterdir()
    assert (left.name, left.read_text()) == ("nautilus.before.log", f"{head}\n{head} 2\n")


def test_a_service_leaves_a_log_and_a_crash_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON in its file, the crash in another, no secret in either; an operator's error is no crash."""

    def serve(error: Exception) -> None:
        with service_logs("writer", tmp_path / "logs"):
            log.warning("waiting for %s", CANARY)
            raise error

    with pytest.raises(RuntimeError):
        serve(RuntimeError(CANARY))
    (crash,) = (tmp_path / "logs").glob("crash-*.txt")
    assert "RuntimeError" in crash.read_text()
    first, second = map(json.loads, (tmp_path / "logs" / "writer.jsonl").read_text().splitlines())
    assert (first["message"], second["message"]) == (f"waiting for {MASK}", "crashed")
    with pytest.raises(ConfigurationError):
        serve(ConfigurationError("no"))
    assert len(list((tmp_path / "logs").glob("crash-*.txt"))) == 1
    assert MASK in capsys.readouterr().err
    assert files_with_canary(tmp_path) == []


def test_a_terminal_is_spared_the_ordinary_course_of_nautilus(tmp_path: Path) -> None:
    """Hundreds of lines about its parts go to the file; ours, and whatever is a warning, are shown."""
    terminal, file = Terminal(), tmp_path / "node.jsonl"
    undo = set_up_logs(file=file, stream=terminal, redact=Redactor([]))
    try:
        logging.getLogger("nautilus.X-1.DataEngine").info("RUNNING")
        logging.getLogger("nautilus.X-1.DataEngine").warning("late")
        logging.getLogger("nautilus.X-1.OteStrategy").warning("<--[EVT] OrderRejected(reason='x')")
        logging.getLogger("smcbot.node").info("stopped by SIGTERM")
    finally:
        undo()
    assert [line.rpartition(": ")[2] for line in terminal.getvalue().splitlines()] == [
        "late",
        "stopped by SIGTERM",
    ]
    assert len(file.read_text().splitlines()) == 4
