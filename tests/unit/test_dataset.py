"""A dataset on disk: what was saved comes back, and whatever does not fit is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ml.dataset import Dataset, DatasetError, paths

DAY_NS = 86_400_000_000_000


def small(rows: int = 5) -> Dataset:
    """Return a dataset of two features."""
    t0_ns = np.arange(rows, dtype=np.int64) * DAY_NS // 2
    x = np.arange(2.0 * rows).reshape(rows, 2)
    x[1:2, 0] = np.nan
    return Dataset(
        names=("distance_atr", "y"),  # a feature may be called like a label
        schema_hash="ab" * 32,
        x=x,
        y=(np.arange(rows) % 2).astype(np.int8),
        net_r=np.linspace(-1, 2, rows),
        t0_ns=t0_ns,
        t1_ns=t0_ns + 7,
        order_id=np.arange(rows, dtype=np.int64) // 2,
        weight=np.ones(rows),
        day=t0_ns // DAY_NS,
        p_star=np.full(rows, 0.4),
        aside={"fill_ns": t0_ns + np.array([0, 50, 51, 1000, 7], np.int64)[:rows] * 1_000_000},
        meta={"symbols": ["XRPUSDT-PERP.BINANCE"], "counts": {"target": 2}},
    )


def equal(left: Dataset, right: Dataset) -> bool:
    """Tell whether every field is the same, NaN equal to NaN, types included."""
    for field in dataclasses.fields(Dataset):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if isinstance(one, np.ndarray):
            if one.dtype != other.dtype or not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
                return False
        elif field.name == "aside":
            if list(one) != list(other) or any(not np.array_equal(one[key], other[key]) for key in one):
                return False
        elif one != other:
            return False
    return True


@pytest.mark.parametrize("name", ["xrp", "xrp.parquet", "xrp.v2"])
def test_what_was_saved_comes_back(tmp_path: Path, name: str) -> None:
    """All columns to the last bit, types and meta; with or without the ending."""
    saved = small()
    path = saved.save(tmp_path / "new" / name)
    assert path.suffix == ".parquet"
    assert equal(Dataset.load(tmp_path / "new" / name), saved)
    assert equal(Dataset.load(path, "ab" * 32), saved)
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(one.name for one in paths(path))


def test_an_empty_dataset_is_a_dataset(tmp_path: Path) -> None:
    """No order rested: that is a result, not an error."""
    empty = small(0)
    assert equal(Dataset.load(empty.save(tmp_path / "none")), empty)


def test_other_features_are_refused(tmp_path: Path) -> None:
    """The schema hash that is wanted must be the file's."""
    path = small().save(tmp_path / "xrp")
    with pytest.raises(DatasetError, match="wanted cdcdcdcdcdcd"):
        Dataset.load(path, "cd" * 32)


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    """A table of another save, a table with a flipped byte, a sidecar of another schema."""
    path = small().save(tmp_path / "one")
    other = small(4).save(tmp_path / "two")
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    with pytest.raises(DatasetError, match="damaged"):
        Dataset.load(path)
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(DatasetError, match="damaged"):
        Dataset.load(path)
    path.write_bytes(content)
    side_path = paths(path)[1]
    side = json.loads(side_path.read_text())
    side_path.write_text(json.dumps(side | {"schema_hash": "cd" * 32}))
    with pytest.raises(DatasetError, match="other columns"):
        Dataset.load(path)
    side_path.write_text(json.dumps(side)[:-20])
    with pytest.raises(DatasetError, match="is no dataset"):
        Dataset.load(path)
    side_path.unlink()
    with pytest.raises(DatasetError, match="is no dataset"):
        Dataset.load(path)


def test_rows_that_contradict_each_other_are_refused() -> None:
    """Lengths, types, order of time, and a label before its decision."""
    good = small()
    for change, words in [
        ({"y": good.y[:-1]}, "y is int8"),
        ({"weight": good.weight.astype(np.float32)}, "weight is float32"),
        ({"x": good.x[:, :1]}, "x has shape"),
        ({"t0_ns": good.t0_ns[::-1].copy()}, "steps back"),
        ({"t1_ns": good.t1_ns - 100}, "before t0_ns"),
    ]:
        with pytest.raises(DatasetError, match=words):
            dataclasses.replace(good, **change)


def test_some_rows_are_a_dataset() -> None:
    """By mask and by position, meta kept."""
    good = small()
    mask = good.y == 1
    assert equal(good.rows(mask), good.rows(np.flatnonzero(mask)))
    assert good.rows(mask).t0_ns.tolist() == good.t0_ns[mask].tolist()
    assert good.rows(mask).meta == good.meta


def test_only_what_could_still_be_taken_back_is_actionable() -> None:
    """A fill within the latency cannot be prevented any more, one exactly at its end neither."""
    good = small()
    kept = good.actionable(50)
    assert kept.t0_ns.tolist() == good.t0_ns[[0, 2, 3]].tolist()  # the first never filled: its fill_ns is 0
    assert kept.aside["fill_ns"].tolist() == good.aside["fill_ns"][[0, 2, 3]].tolist()
    with pytest.raises(DatasetError, match="fill_ns"):
        dataclasses.replace(good, aside={}).actionable(50)
