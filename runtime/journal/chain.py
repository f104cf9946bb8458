"""The hash chain: every row's hash covers the row and the hash before it.

Whoever edits, removes or reorders a row breaks the chain there; whoever cuts its end leaves a count and a
last hash behind that it does not reach. It is computed by the writer, from the rows as they go into the
database: what is proven is what SQL returns, and it costs the node nothing.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

GENESIS: Final = "0" * 64
_ENCODE: Final = msgspec.json.Encoder().encode


def next_hash(previous: str, table: str, names: Sequence[str], values: Sequence[Any]) -> str:
    """Return the hash of a row, 64 hex digits: SHA-256 over the previous hash and the row's canonical bytes.

    Canonical is the JSON of ``[table, {column: value}]`` with columns in the order of `names`, amounts and
    JSON as text, and without NULLs: a column that a later schema adds leaves older hashes as they are.

    Parameters
    ----------
    previous
        Hash of the row before, :data:`GENESIS` for the first of a session.
    table
        Name of the row's table.
    names, values
        Columns in the order of :class:`runtime.journal.rows.Shape`, without the hash.
    """
    covered = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return hashlib.sha256(bytes.fromhex(previous) + _ENCODE([table, covered])).hexdigest()
