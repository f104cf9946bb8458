"""The rows of the matrix: what goes wrong, and what is required then."""

from typing import Final

ROWS: Final = {
    "F01": "network cut",
    "F02": "trades missing in the stream",
    "F03": "private events twice",
    "F04": "fills late or out of order",
    "F05": "partial fill, then the entry is taken back",
    "F06": "cancellation refused because the entry filled",
    "F07": "killed between fill and stop",
    "F08": "killed between the target's fill and the stop's cancellation",
    "F09": "5xx or no answer to an order",
    "F10": "429 and 418",
    "F11": "clock off by two seconds, or stepping",
    "F12": "stop refused by a filter",
    "F13": "database down, locked or slow",
    "F14": "disk full",
    "F15": "wrong settings",
    "F16": "damaged, swapped or stale model",
    "F17": "features that are not finite or out of range",
    "F18": "stale data with an open stream",
    "F19": "price spike",
    "F20": "flood of the user interface",
    "F21": "command of somebody who may not",
    "F22": "burst of commands",
    "F23": "listenKey expires, the venue disconnects",
    "F24": "instrument changes",
    "F25": "liquidation, deleveraging, trade by hand",
    "F26": "memory grows",
}

# Why a row has no result yet; a row that gets one is taken out of here.
MISSING: Final[dict[str, str]] = {}
