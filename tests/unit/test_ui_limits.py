"""The terminal's limits: whom they stop, whom they must not, and what they keep in memory."""

from typing import Any

import pytest

from tests.ui_server import ORIGIN, make_server, person
from ui.server.accounts import Accounts
from ui.server.addresses import counted_as
from ui.server.api.backtests import _value
from ui.server.guard import ROLE, SOCKET_PATH, Guard
from ui.server.limits import Limits
from ui.server.ports import QuestionError
from ui.server.settings import ServerSettings

SOCKET = "/socket.io/?EIO=4&transport=websocket"


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """Return them."""
        return self.now_s


def test_a_window_moves_and_every_rule_counts() -> None:
    """What is refused by one rule uses up none of the other."""
    clock = Clock()
    limits = Limits({"login": "2/minute;4/hour"}, clock)
    assert [limits.allows("login", "a") for _ in range(9)] == [True] * 2 + [False] * 7
    assert limits.allows("login", "b")
    clock.now_s += 60
    assert not limits.is_exceeded("login", "a")
    assert [limits.allows("login", "a") for _ in range(3)] == [True, True, False]
    clock.now_s += 60
    assert limits.is_exceeded("login", "a")  # four within the hour
    clock.now_s += 3_600
    assert limits.allows("login", "a")


def test_what_is_counted_is_freed_with_its_window() -> None:
    """Sockets and addresses come and go for months."""
    clock = Clock()
    limits = Limits({"event": "200/10 seconds"}, clock, max_keys=100_000)
    for number in range(10_000):
        assert limits.allows("event", f"socket {number}")
    assert limits.keys == 10_000
    clock.now_s += 11
    for number in range(5_000):
        limits.allows("event", f"later {number % 10}")
    assert limits.keys == 10


def test_it_is_bounded_within_a_window_too() -> None:
    """Who was counted longest ago goes, and nobody of another limit."""
    limits = Limits({"login": "1/hour", "connect": "1/hour"}, Clock(), max_keys=100)
    assert limits.allows("login", "a")
    for number in range(5_000):
        limits.allows("connect", f"10.0.{number // 256}.{number % 256}")
    assert limits.keys == 101
    assert not limits.allows("login", "a")


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash with a 32nd of the work."""
    monkeypatch.setattr("ui.server.accounts.METHOD", "scrypt:1024:8:1")
    monkeypatch.setattr("ui.server.accounts._NOBODY", [])


def statuses(client: Any, times: int) -> list[int]:
    """Return what is answered to who opens sockets."""
    return [client.get(SOCKET, headers={"Origin": ORIGIN}).status_code for _ in range(times)]


def test_strangers_at_an_address_keep_nobody_from_connecting_who_is_logged_in() -> None:
    """A page without a socket has no Kill; who is logged in has a limit too."""
    server = make_server(connects="3/minute")
    operator, _ = server.browser()
    assert statuses(server.client(), 5) == [401] * 3 + [429] * 2
    assert operator.get(SOCKET, headers={"Origin": ORIGIN}).status_code not in (401, 429)
    assert statuses(operator, 5)[-1] == 429


@pytest.mark.usefixtures("cheap_hashes")
def test_the_answers_do_not_tell_which_names_there_are() -> None:
    """A name that nobody has is slowed as one that somebody has; nonsense slows neither names nor tokens."""
    accounts = Accounts.of({"SMCBOT_TERMINAL_USERS": person()})
    server = make_server(accounts=accounts, failures="10/hour")

    def log_in(address: str, name: str) -> int:
        asked = {"name": name, "password": "x"}
        return server.client(REMOTE_ADDR=address).post("/login", json=asked).status_code

    for number in range(12):
        assert log_in(f"10.0.0.{number}", f"nonsense{number}") == 401
    for name in ("anna", "eve", ""):
        assert [log_in(f"10.8.0.{len(name)}", name) for _ in range(2)] == [401, 401]
    found = {
        name: [log_in(f"10.{at}.1.{number}", name) for number in range(8)]
        + [log_in(f"10.{at}.2.1", name) for _ in range(2)]
        for at, name in enumerate(("anna", "eve", ""), 1)
    }
    assert found["anna"] == [401] * 9 + [429]
    assert found["eve"] == found[""] == found["anna"]


@pytest.mark.usefixtures("cheap_hashes")
def test_a_port_in_what_a_proxy_says_is_no_other_address() -> None:
    """Nor is what is none."""
    server = make_server(is_proxied=True)
    for said in ("10.9.9.9:{}", "[2001:db8::9]:{}", "_hidden{}"):
        answers = []
        for number in range(6):
            headers = {"X-Forwarded-For": said.format(4_000 + number)}
            answers.append(server.client().post("/login", json={"password": "x"}, headers=headers))
        assert [one.status_code for one in answers] == [401] * 5 + [429]


def test_ports_are_cut_off_addresses() -> None:
    """Of either protocol."""
    assert {counted_as(f"1.2.3.4:{port}") for port in (1, 2)} == {"1.2.3.4"}
    assert {counted_as(f"[::ffff:1.2.3.4]:{port}") for port in (1, 2)} == {"1.2.3.4"}


def test_a_burst_of_sockets_oversteps_no_number() -> None:
    """A place is taken as it is looked for, not when the socket begins."""
    settings = ServerSettings(max_clients=10)
    (host,) = {one for one in settings.hosts if one.startswith("127")}
    base = {"HTTP_HOST": host, "HTTP_ORIGIN": f"http://{host}", "PATH_INFO": SOCKET_PATH, ROLE: "operator"}
    guard = Guard(lambda *_: [], settings, lambda _environ: None, lambda *_: None)
    found = [guard._refusal(dict(base), is_socket=True) for _ in range(30)]
    assert found == [None] * 26 + [(503, "full")] * 4


@pytest.mark.parametrize("kind", ["int", "float", "Decimal"])
@pytest.mark.parametrize("text", ["1_0", " 5", "5 ", "\uff11\uff10", "\u0661"])
def test_numbers_are_those_that_the_page_takes(kind: str, text: str) -> None:
    """The node's own parser would decide otherwise what they are."""
    with pytest.raises(QuestionError, match="is no"):
        _value("bucket_usd", text, {"type": kind})
    assert _value("bucket_usd", "10", {"type": kind}) == "10"
