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
from ml.labels import Outcome, OrderLabel, entry_order_setup, label_orders
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


@pytest.fixture(scope="module", params=["spot", "usdm"])
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
    (folder,) = (base / "kept" / "var" / "runs").iterdir()
    return pairs_of(seen, folder / "events.jsonl")


def pairs_of(seen: Sequence[Followed], log: Path) -> list[Pair]:
    """Join by setup: an entry that followed its range has several orders, the last one is what it became."""
    records = [json.loads(line) for line in log.read_bytes().splitlines()]
    traded = {one.setup_id: one for one in label_orders(records, records[-1].get("ts_ns", 0))}
    followed = {str(entry_order_setup(one.order_id)): one for one in seen if one.is_cancelled}
    return [Pair(followed[name], traded[name]) for name in sorted(followed.keys() & traded.keys())]


def test_orders_end_as_in_the_engine(pairs: list[Pair]) -> None:
    """Not filled, target or stop: at least 95 % of the orders end alike."""
    known = [one for one in pairs if one.traded.outcome is not Outcome.UNKNOWN and one.followed.end != "open"]
    same = [ENDS.get(one.followed.end, Outcome.TIMED_OUT) is one.traded.outcome for one in known]
    assert len(known) >= 40
    print("SAME", len(known), np.mean(same))
    for one in known:
        if ENDS.get(one.followed.end, Outcome.TIMED_OUT) is not one.traded.outcome:
            print(one)
    assert np.mean(same) >= 0.95


def test_orders_earn_what_they_earn_in_the_engine(pairs: list[Pair]) -> None:
    """By outcome, the mean difference is within two standard errors or 0.03 R."""
    for outcome in (Outcome.TARGET, Outcome.STOP):
        alike = [one for one in pairs if one.traded.outcome is outcome is ENDS.get(one.followed.end)]
        gaps = np.array([one.followed.net_r - one.traded.net_r for one in alike])
        fills = np.array([one.followed.fill_ns - one.traded.fill_ns for one in alike])
        exits = np.array([one.followed.exit_ns - one.traded.exit_ns for one in alike])
        error = gaps.std(ddof=1) / math.sqrt(len(gaps))
        print(outcome, len(gaps), gaps.mean(), error, np.abs(gaps).max(), np.median(gaps), (fills == 0).mean(), (exits == 0).mean(), np.quantile(exits / 1e6, [0.05, 0.5, 0.95]))
        assert len(gaps) >= 10
        assert abs(gaps.mean()) <= max(2 * error, 0.03)
