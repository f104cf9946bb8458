"""Cancelled orders are worth what the engine would have made of them: followed against really traded."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import backtest_node
from ml.labels import OrderLabel, Outcome, entry_order_setup, label_orders
from ml.ledger import ledger
from ml.shadow import Followed
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.sample import SampleRequest, tape_of
from strategies.dynamic_cancel import Approach, Verdict

DAYS = 1
ENDS = {"target": Outcome.TARGET, "stop": Outcome.STOP, "not_filled": Outcome.NOT_FILLED}


class CancelAll:
    """Takes every entry back at the first look."""

    def decide(self, approach: Approach) -> Verdict:
        """Cancel."""
        del approach
        return Verdict(cancel=True)


@dataclass(frozen=True)
class Pair:
    """One order as it was followed, and as the engine traded it."""

    followed: Followed
    traded: OrderLabel


@pytest.fixture(scope="module", params=[pytest.param("spot", marks=pytest.mark.slow), "usdm"])
def pairs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Run a sample tape twice: every entry kept, and every entry cancelled."""
    base = tmp_path_factory.mktemp("parity")
    market: Literal["spot", "usdm"] = request.param
    instrument = make_instrument("binance", market, "BTCUSDT", Decimal("0.01"), Decimal("0.00001"))
    tape = tape_of(SampleRequest(days=DAYS), "BTCUSDT")
    Catalog(base / "catalog", create=True).write_trades(instrument, tape)
    seen: list[Followed] = []

    def spy(orders: Sequence[Followed]) -> dict[str, Any]:
        seen.extend(orders)
        return ledger(orders, rounds=10)

    options = ["--catalog", f"{base}/catalog", "--json", "--set", "bucket_usd=20000"]
    options += ["--set", "structure=internal"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("strategies.entry_gate.ledger", spy)
        for name, more in (("kept", []), ("gone", ["--set", f"cancel_policy={__name__}:CancelAll"])):
            (base / name).mkdir()
            patch.chdir(base / name)
            assert backtest_node.main(["run", *options, *more]) == 0
    return pairs_of(seen, labels_in(base / "kept"), labels_in(base / "gone"))


def labels_in(place: Path) -> dict[str, OrderLabel]:
    """Return what became of each entry order of the run of a folder, by client order id."""
    (folder,) = (place / "var" / "runs").iterdir()
    records = [json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
    last_ns = max(one.get("ts_ns", 0) for one in records)
    return {one.client_order_id: one for one in label_orders(records, last_ns)}


def pairs_of(
    seen: Sequence[Followed], kept: dict[str, OrderLabel], gone: dict[str, OrderLabel]
) -> list[Pair]:
    """Join orders that were sent alike in both runs with the last order of their setup, as ranges extend.

    Where nothing fills, other zones are entered, and the same zone at another time: not the same order.
    """
    last_of_setup = {one.setup_id: one for one in kept.values()}
    pairs = []
    for one in seen:
        sent = [run.get(one.order_id) for run in (kept, gone)]
        terms = [None if it is None else (it.placed_ns, it.entry, it.stop, it.target) for it in sent]
        if one.is_cancelled and terms[0] is not None and terms[0] == terms[1]:
            pairs.append(Pair(one, last_of_setup[str(entry_order_setup(one.order_id))]))
    return pairs


def test_orders_end_as_in_the_engine(pairs: list[Pair]) -> None:
    """Not filled, target or stop: at least 95 % of the orders end alike."""
    known = [one for one in pairs if one.traded.outcome is not Outcome.UNKNOWN and one.followed.end != "open"]
    same = [ENDS.get(one.followed.end, Outcome.TIMED_OUT) is one.traded.outcome for one in known]
    assert len(known) >= 40
    assert np.mean(same) >= 0.95


def test_orders_earn_what_they_earn_in_the_engine(pairs: list[Pair]) -> None:
    """By outcome, the mean difference is within two standard errors or 0.05 R.

    Not zero: the engine fills entries in parts, and what fills while the stop is hit leaves later.
    """
    for outcome in (Outcome.TARGET, Outcome.STOP):
        alike = [one for one in pairs if one.traded.outcome is outcome is ENDS.get(one.followed.end)]
        gaps = np.array([one.followed.net_r - one.traded.net_r for one in alike])
        error = gaps.std(ddof=1) / math.sqrt(len(gaps))
        assert len(gaps) >= 10
        assert abs(gaps.mean()) <= max(2 * error, 0.05)
