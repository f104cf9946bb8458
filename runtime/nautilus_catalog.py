"""Nautilus' own catalog object of a folder, by the folder's absolute path.

`ParquetDataCatalog` is one object per argument for the whole process. Given a relative path, a process that
has changed its working folder gets the object of the folder before, and reads trades that are not its own.
"""

from pathlib import Path
from typing import Any

from nautilus_trader.persistence.catalog import ParquetDataCatalog


def nautilus_catalog(folder: Path | str, kind: type[Any] = ParquetDataCatalog) -> Any:
    """Return Nautilus' catalog of a folder.

    Parameters
    ----------
    folder
        Of the catalog; a relative one is looked up now.
    kind
        `ParquetDataCatalog` or a class made from it.
    """
    return kind(str(Path(folder).absolute()))


__all__ = ["nautilus_catalog"]
