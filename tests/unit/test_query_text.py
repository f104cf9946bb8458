"""Queries of Binance's adapter are those that urllib would write."""

import asyncio
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import nautilus_trader.adapters.binance.http.client as binance_http
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.common.component import LiveClock
from nautilus_trader.core.nautilus_pyo3 import HttpMethod

from runtime.live.query_text import encode_queries_fast, query_text

VALUES = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary())


@given(st.dictionaries(st.text(), VALUES))
def test_every_query_is_the_one_of_urllib(parameters: dict[str, Any]) -> None:
    """Whatever is in it: signs that separate, other alphabets, nothing at all."""
    assert query_text(parameters) == urlencode(parameters)


@given(st.dictionaries(st.text("abc=&", max_size=3), st.text("1.-=&", max_size=3), max_size=4))
def test_signs_that_separate_are_escaped_within_names_and_values(parameters: dict[str, str]) -> None:
    """They are among the plain ones: their number tells."""
    assert query_text(parameters) == urlencode(parameters)


def test_the_adapter_signs_and_sends_what_it_did_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own client, with urllib and with ours: the same address, signature and all."""
    asked: list[str] = []

    async def request(_method: HttpMethod, url: str, **_options: Any) -> Any:
        asked.append(url)
        return SimpleNamespace(status=200, body=b"{}", headers={})

    async def ask() -> None:
        client: Any = binance_http.BinanceHttpClient(LiveClock(), "key", "secret", "http://127.0.0.1:9")
        client._client = SimpleNamespace(request=request)
        await client.sign_request(
            HttpMethod.DELETE, "/fapi/v1/order", {"symbol": "XRPUSDT", "timestamp": "1", "odd": "a b"}
        )

    before = vars(binance_http)["urllib"]
    monkeypatch.setattr(binance_http, "urllib", before)  # put back at the end
    asyncio.run(ask())
    encode_queries_fast()
    assert vars(binance_http)["urllib"] is not before
    asyncio.run(ask())
    assert asked[0] == asked[1]
    assert "odd=a+b&signature=" in asked[0]
