"""As much of Binance spot's REST as a node asks for before it starts: a responder of `tests.local_server`."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from tests.local_server import Reply

KEY, SECRET = "simulator-key-" + "0" * 50, "simulator-secret-" + "0" * 47
GOOD = {"enableSpotAndMarginTrading": True, "enableWithdrawals": False, "ipRestrict": True}
# The fields that are read of Binance's "Exchange information".
XRP = {
    "symbol": "XRPUSDT",
    "status": "TRADING",
    "baseAsset": "XRP",
    "quoteAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.00010000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.10000000", "minQty": "0.10000000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
    ],
}


class FakeBinance:
    """As much of Binance spot as the check asks for, with a signature that is verified."""

    def __init__(self) -> None:
        self.skew_ms = 0
        self.symbol: dict[str, Any] = XRP
        self.restrictions: dict[str, Any] | None = GOOD
        self.address = ""

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply:
        """Answer a request."""
        answers: dict[str, Callable[[Mapping[str, str]], tuple[int, Any]]] = {
            "/api/v3/time": lambda _query: (200, {"serverTime": time.time_ns() // 1_000_000 + self.skew_ms}),
            "/api/v3/exchangeInfo": lambda _query: (200, {"rateLimits": [], "symbols": [self.symbol]}),
            "/sapi/v1/account/apiRestrictions": self._restrictions,
        }
        status, content = answers[path](query) if path in answers else (404, {})
        return status, {"Content-Type": "application/json"}, json.dumps(content).encode()

    def _restrictions(self, query: Mapping[str, str]) -> tuple[int, Any]:
        if self.restrictions is None:
            return 404, {}
        signed = urlencode([(name, value) for name, value in query.items() if name != "signature"])
        if hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest() != query["signature"]:
            return 401, {"code": -1022, "msg": "Signature for this request is not valid."}
        return 200, self.restrictions
