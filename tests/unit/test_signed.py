"""Signed questions: one that left late is asked again with a new timestamp, one that is refused is not."""

import asyncio
import ssl
from typing import Any

import httpx
import pytest

from runtime.errors import ConfigurationError, VenueError
from runtime.live.keys import Keys
from runtime.live.signed import ATTEMPTS, SignedRest, certificates

LATE = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
LATE_AT_BYBIT = {"retCode": 10002, "retMsg": "invalid request, please check your server timestamp"}


def asked(answers: list[tuple[int, dict[str, Any]]]) -> tuple[SignedRest, list[str]]:
    """Return a client that hears these answers, and the queries that it sent."""
    queries: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        queries.append(str(request.url.query) + request.headers.get("X-BAPI-TIMESTAMP", ""))
        status, content = answers[min(len(queries), len(answers)) - 1]
        return httpx.Response(status, json=content)

    stamps = iter(range(1_000, 2_000))
    keys = Keys(key="key", secret="secret")
    transport = httpx.MockTransport(answer)
    return SignedRest("http://venue", keys, transport=transport, now_ms=lambda: next(stamps)), queries


def test_a_request_that_left_late_is_signed_again() -> None:
    """Each attempt has a timestamp of its own."""
    rest, queries = asked([(400, LATE), (200, {"ipRestrict": True})])
    assert asyncio.run(rest.binance("/x")) == {"ipRestrict": True}
    assert len(set(queries)) == 2
    rest, queries = asked([(200, LATE_AT_BYBIT), (200, {"retCode": 0, "result": {"a": 1}})])
    assert asyncio.run(rest.bybit("/x")) == {"a": 1}
    assert len(set(queries)) == 2


def test_a_wrong_clock_is_told_after_three_attempts() -> None:
    """It is no endless loop."""
    for name, status, content in (("binance", 400, LATE), ("bybit", 200, LATE_AT_BYBIT)):
        rest, queries = asked([(status, content)])
        with pytest.raises(VenueError, match=r"-1021|10002"):
            asyncio.run(getattr(rest, name)("/x"))
        assert len(queries) == ATTEMPTS


def test_a_refused_key_is_asked_once() -> None:
    """Another refusal is final."""
    rest, queries = asked([(401, {"code": -2015, "msg": "Invalid API-key"})])
    with pytest.raises(ConfigurationError, match="-2015"):
        asyncio.run(rest.binance("/x"))
    assert len(queries) == 1


def test_whom_we_believe_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes tens of milliseconds of the loop that trades, and funding is asked for every few seconds."""
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def counted(*words: Any, **named: Any) -> ssl.SSLContext:
        made.append(make(*words, **named))
        return made[-1]

    certificates.cache_clear()
    monkeypatch.setattr(ssl, "create_default_context", counted)
    rest = SignedRest("http://127.0.0.1:9", Keys(key="key", secret="secret"))
    for _ in range(3):
        with pytest.raises(VenueError, match="cannot be reached"):
            asyncio.run(rest.binance("/x"))
    assert len(made) == 1
    assert made[0].verify_mode is ssl.CERT_REQUIRED
