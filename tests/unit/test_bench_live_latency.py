"""What the benchmark of a live node charges to the node, and what to the exchange."""

from typing import Any

from benchmarks.bench_live_latency import protections

MS = 1_000_000
ENTRY, STOP = "OTE-XRPUSDT-PERP-Lmmv7y0w014-E1", "OTE-XRPUSDT-PERP-Lmmv7y0w014-S1"


def test_the_way_to_a_stop_is_split_at_the_http_client_and_less_what_the_exchange_took() -> None:
    """The fill is told after 6 ms; 3 to the HTTP client, 1 under way, 11 at the exchange, 2 to the node."""
    fill = {"client_id": ENTRY, "trade_id": 77, "ts_ns": 100 * MS, "market": "XRPUSDT"}
    stop = {"client_id": STOP, "market": "XRPUSDT", "stop_price": "1.5", "created_ns": 115 * MS}
    arrived = {"endpoint": "POST /fapi/v1/algoOrder", "params": {"clientAlgoId": STOP}}
    state: dict[str, Any] = {
        "orders": [stop],
        "fills": [fill, {**fill, "trade_id": 78, "ts_ns": 101 * MS}],
        "requests": [{**arrived, "arrived_ns": 110 * MS}],
    }
    told = [{"ns": 106 * MS, "text": f"{ENTRY} 77"}, {"ns": 121 * MS, "text": STOP}]
    rows: dict[str, list[dict[str, Any]]] = {
        "event": [{"name": "OrderAccepted", "id": STOP, "heard_ns": 123 * MS}],
        "request": [{"id": STOP, "method": "HttpMethod.POST", "sent_ns": 109 * MS}],
    }
    found = protections(rows, state, told, 0)
    assert {what: (one["count"], one["median_ms"]) for what, one in found.items()} == {
        "acknowledged": (1, 6.0),
        "requested": (1, 4.0),
        "handed over": (1, 3.0),
        "under way": (1, 1.0),
        "acknowledgement heard": (1, 2.0),
        "the exchange's own": (1, 17.0),
    }
