"""A secret that must never be written: the tests put it into the environment and search what they made."""

import gzip
from pathlib import Path
from typing import Final

CANARY: Final = "canary-7f3a9c51e0d24b88-must-never-be-written"
# Variables of the kinds that a node has, each with the canary in its value.
CANARY_VARIABLES: Final = {
    "BINANCE_API_KEY": f"key-{CANARY}",
    "BINANCE_API_SECRET": CANARY,
    "BYBIT_API_SECRET": f"{CANARY}/+=",
    "TRADING_DATABASE_URL": f"postgresql://bot:{CANARY}@127.0.0.1:1/none",
}


def files_with_canary(folder: Path) -> list[Path]:
    """Return the files below a folder that hold the canary, gzipped ones unpacked, sorted."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        if CANARY.encode() in content:
            found.append(path)
    return found
