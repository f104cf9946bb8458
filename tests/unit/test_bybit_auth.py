"""Bybit's signatures of the local exchange, held against the vendor's own client library."""

import time

import pytest
from pybit._http_manager import generate_signature

from tests.venue_simulator import bybit_auth as auth
from tests.venue_simulator.bybit_codes import BybitError

KEY, SECRET = "key", "secret"
SECRETS = {KEY: SECRET}
NOW_MS = 1_767_571_200_000


def headers(payload: str, sent_ms: int = NOW_MS, **changes: str) -> dict[str, str]:
    """Sign a request the way the vendor's client does."""
    text = f"{sent_ms}{KEY}5000{payload}"
    made = {
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": str(sent_ms),
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": generate_signature(False, SECRET, text),
    }
    return made | {f"X-BAPI-{name.replace('_', '-').upper()}": value for name, value in changes.items()}


@pytest.mark.parametrize("payload", ["", "category=linear&symbol=BTCUSDT", '{"category":"linear"}'])
def test_a_request_that_the_vendors_client_signed_is_accepted(payload: str) -> None:
    """Of a query string, of a JSON body, and of neither."""
    assert auth.check_rest(headers(payload), payload, SECRETS, NOW_MS) == KEY


REFUSALS = {
    "unknown key": (headers("a=1", api_key="other"), "a=1", 10003),
    "wrong secret": (headers("a=1", sign="00"), "a=1", 10004),
    "another payload": (headers("a=1"), "a=2", 10004),
    "too old": (headers("a=1", NOW_MS - 5_001), "a=1", 10002),
    "from the future": (headers("a=1", NOW_MS + 1_000), "a=1", 10002),
    "no number": (headers("a=1", timestamp="soon"), "a=1", 10001),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_wrong_request_is_refused_with_its_code(case: str) -> None:
    """Each fault has Bybit's own code."""
    given, payload, code = REFUSALS[case]
    with pytest.raises(BybitError) as refused:
        auth.check_rest(given, payload, SECRETS, NOW_MS)
    assert refused.value.code == code


def test_the_edges_of_the_time_window_are_inside() -> None:
    """`recv_window` old is accepted, and up to a second ahead."""
    for sent_ms in (NOW_MS - 5_000, NOW_MS + 999):
        assert auth.check_rest(headers("", sent_ms), "", SECRETS, NOW_MS) == KEY


def test_a_login_is_checked() -> None:
    """Signature over the expiry, which must be ahead."""
    expires = int(time.time() * 1000) + 10_000
    signature = generate_signature(False, SECRET, f"GET/realtime{expires}")
    assert auth.check_login([KEY, expires, signature], SECRETS, expires - 1) == KEY
    wrong = {
        10004: ([KEY, expires, "00"], expires - 1),
        10003: (["other", expires, signature], expires - 1),
        10001: ([KEY], expires - 1),
    }
    for code, (args, now_ms) in wrong.items():
        with pytest.raises(BybitError) as refused:
            auth.check_login(args, SECRETS, now_ms)
        assert refused.value.code == code
    with pytest.raises(BybitError, match="expired"):
        auth.check_login([KEY, expires, signature], SECRETS, expires)
