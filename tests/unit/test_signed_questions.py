"""A signed question that comes too late says nothing about the key."""

import asyncio

import httpx
import pytest

from runtime.errors import ConfigurationError, VenueError
from runtime.live.keys import Keys
from runtime.live.signed import SignedRest

KEYS = Keys(key="key", secret="secret")


def venue(status: int, answer: dict[str, object]) -> SignedRest:
    """Return the signed interface of a venue that always answers this."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, json=answer))
    return SignedRest("http://venue.example", KEYS, transport=transport)


def test_a_late_question_is_the_venues_or_the_clocks_trouble() -> None:
    """Exit code 1, and not the advice to check the key."""
    late = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
    with pytest.raises(VenueError, match="came more than 5 s after it was signed"):
        asyncio.run(venue(400, late).binance("/sapi/v1/account/apiRestrictions"))
    late = {"retCode": 10002, "retMsg": "invalid request, please check your server timestamp"}
    with pytest.raises(VenueError, match="came more than 5 s after it was signed"):
        asyncio.run(venue(200, late).bybit("/v5/user/query-api"))


def test_any_other_refusal_is_of_the_key() -> None:
    """A wrong secret stays a matter of settings."""
    wrong = {"code": -1022, "msg": "Signature for this request is not valid."}
    with pytest.raises(ConfigurationError, match="refuses the key"):
        asyncio.run(venue(400, wrong).binance("/sapi/v1/account/apiRestrictions"))
