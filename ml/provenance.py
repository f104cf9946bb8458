"""What a dataset says about its origin, in the form of the passport.

`Dataset.meta` may hold: `symbols` (ids, or a table by id), and for all or per symbol `stream`, `bucket_usd`,
`price_decimals`, `size_decimals`, `vpin_window`; `files` (tables with `name`, `rows`, `first_id`, `last_id`,
`sha256`), `gaps`, `synthetic`, `label` (see `LabelRule`), `lookback_secs`, `kernel_sha256`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.dataset import Dataset, DatasetError
from ml.passport import DataFile, DataManifest, DriftBins, LabelRule, SymbolScope

DECILES = np.arange(0.1, 0.95, 0.1)
SCOPE_FIELDS = ("stream", "bucket_usd", "price_decimals", "size_decimals", "vpin_window")


def symbol_scopes(meta: Mapping[str, Any]) -> dict[str, SymbolScope]:
    """Return the scope per Nautilus instrument id.

    Raises
    ------
    DatasetError
        When symbols, stream or bucket size are not recorded: a model of unknown scope fits nothing.
    """
    symbols = meta.get("symbols")
    if not symbols:
        raise DatasetError("the dataset does not say which symbols it is from: make it again")
    table = symbols if isinstance(symbols, Mapping) else {name: {} for name in symbols}
    scopes = {}
    for name, own in table.items():
        fields = {key: own.get(key, meta.get(key)) for key in SCOPE_FIELDS}
        known = {key: value for key, value in fields.items() if value is not None}
        venue = str(own.get("venue") or str(name).rpartition(".")[2])
        scopes[str(name)] = _convert({"venue": venue, **known}, SymbolScope, f"scope of {name}")
    return scopes


def data_manifest(data: Dataset, digest: str) -> DataManifest:
    """Return files and span; the span is that of the rows, first decision to last label."""
    meta = data.meta
    known = DataFile.__struct_fields__
    files = [
        {
            key: value
            for key, value in ({"name": one} if isinstance(one, str) else one).items()
            if key in known
        }
        for one in meta.get("files", ())
    ]
    return DataManifest(
        files=tuple(_convert(one, DataFile, "files") for one in files),
        start_ns=int(data.t0_ns.min()),
        end_ns=int(data.t1_ns.max()),
        gaps=int(meta.get("gaps", 0)),
        dataset_sha256=digest,
        synthetic=bool(meta.get("synthetic", False)),
    )


def label_rule(meta: Mapping[str, Any]) -> LabelRule:
    """Return how outcomes were decided, as far as the dataset says."""
    told = meta.get("label", {})
    known = {key: value for key, value in told.items() if key in LabelRule.__struct_fields__}
    return _convert(known, LabelRule, "label")


def drift_bins(values: NDArray[np.float64]) -> DriftBins:
    """Return deciles of the finite values, shape (n,), and how often there was none.

    Equal deciles are one edge, so a feature of few values gets few bins.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return DriftBins(edges=(), freq=(1.0,), missing=1.0)
    edges = np.unique(np.quantile(finite, DECILES))
    counts = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
    return DriftBins(
        edges=tuple(float(edge) for edge in edges),
        freq=tuple(float(count) / len(finite) for count in counts),
        missing=1.0 - len(finite) / len(values),
        low=float(finite.min()),
        high=float(finite.max()),
    )


def _convert[T](fields: Mapping[str, Any], kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise DatasetError(f"{what} in the dataset: {error}; make it again") from error
