"""Which rejections are none: the venue's own errors and timeouts leave open whether it took the order."""

import pytest
from nautilus_trader.adapters.binance.http.error import BinanceClientError, BinanceServerError

from runtime.live.unknown_orders import may_still_arrive
from strategies.protection import capabilities, unknown_outcome

BINANCE, BYBIT = capabilities("BINANCE", "margin"), capabilities("BYBIT", "margin")


@pytest.mark.parametrize(
    "error",
    [
        BinanceServerError(503, {"code": -1000, "msg": "Unknown error"}, {}),
        BinanceServerError(504, {"code": -1007, "msg": "Timeout waiting for response from backend"}, {}),
        BinanceServerError(500, {"code": -1006, "msg": "Unexpected response"}, {}),
        BinanceClientError(400, {"code": -1007, "msg": "Timeout"}, {}),
        BinanceServerError(502, "Non-JSON response (HTTP 502): <html>Bad Gateway</html>", {}),
        BinanceServerError(503, '{"code":-1001,"msg":"Internal error"}', {}),
    ],
)
def test_an_error_of_the_venue_leaves_the_outcome_open(error: Exception) -> None:
    """The text is the one that the adapter puts into the rejection."""
    assert unknown_outcome(BINANCE, str(error))


@pytest.mark.parametrize(
    "error",
    [
        BinanceClientError(400, {"code": -2010, "msg": "Account has insufficient balance"}, {}),
        BinanceClientError(400, {"code": -1013, "msg": "Filter failure: PERCENT_PRICE"}, {}),
        BinanceClientError(400, {"code": -4016, "msg": "Limit price can't be higher"}, {}),
        BinanceClientError(429, {"code": -1003, "msg": "Too many requests"}, {}),
        BinanceClientError(400, {"code": -5022, "msg": "Could not be executed as maker"}, {}),
        BinanceClientError(400, {"code": -1021, "msg": "Timestamp outside of the recvWindow"}, {}),
    ],
)
def test_a_refusal_is_a_refusal(error: Exception) -> None:
    """The venue has decided: nothing was done."""
    assert not unknown_outcome(BINANCE, str(error))


def test_nautilus_own_word_for_an_order_without_an_answer_is_no_refusal() -> None:
    """It gives up orders in flight by itself as UNKNOWN, at either venue."""
    assert unknown_outcome(BINANCE, "UNKNOWN")
    assert unknown_outcome(BYBIT, "UNKNOWN")
    assert not unknown_outcome(BINANCE, "{'code': -2011, 'msg': 'UNKNOWN_ORDER_SENT'}")
    assert not unknown_outcome(BYBIT, "UNKNOWN_SYMBOL")
    assert not unknown_outcome(BYBIT, "EC_PostOnlyWillTakeLiquidity")
    assert not unknown_outcome(BINANCE, None)


@pytest.mark.parametrize(
    "words",
    [
        "Server Timeout",
        "Server error",
        "Internal server error",
        "Internal error.",
        "Internal System Error.",
        "Timeout waiting for response from backend server",
        "Order creation timeout",
    ],
)
def test_bybit_s_own_errors_leave_the_outcome_open(words: str) -> None:
    """The adapter puts the words alone into the rejection, without their code."""
    assert unknown_outcome(BYBIT, words)
    assert not unknown_outcome(BYBIT, "ab not enough for new order")


@pytest.mark.parametrize(
    ("leg", "is_reduce_only", "waits"),
    [
        ("E", False, True),
        ("X", False, True),
        ("T", False, True),
        ("X", True, False),
        ("S", False, False),
        ("T", True, False),
    ],
)
def test_an_order_that_could_harm_is_not_given_up_while_it_may_arrive(
    leg: str, is_reduce_only: bool, waits: bool
) -> None:
    """Twice a receive window of five seconds: until then entries and sales at once on spot wait."""
    client_id = f"OTE-XRPUSDT-Lmmv7y0w014-{leg}1a"
    assert may_still_arrive(client_id, is_reduce_only, 9_999_000_000) is waits
    assert not may_still_arrive(client_id, is_reduce_only, 10_000_000_000)
