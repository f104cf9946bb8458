"""What a key may do, as its venue tells it: a key that can take money out must not be near a program."""

from typing import Any, Final

import httpx
from msgspec import Struct

from runtime.live.addresses import addresses_of
from runtime.live.keys import Keys
from runtime.live.settings import LiveVenue
from runtime.live.signed import SignedRest

BINANCE_PATH: Final = "/sapi/v1/account/apiRestrictions"
BYBIT_PATH: Final = "/v5/user/query-api"
# Of Bybit's lists of permissions: those that move money out of the account.
BYBIT_OUT: Final = ("Withdraw",)
# What moves it to other accounts.
BYBIT_MOVES: Final = frozenset({"AccountTransfer", "SubMemberTransfer", "SubMemberTransferList"})
BINANCE_MOVES: Final = ("enableInternalTransfer", "permitsUniversalTransfer")
# Key permissions of Binance are of the whole account and asked at its spot interface.
BINANCE_WALLET: Final = "https://api.binance.com"


class Permissions(Struct, frozen=True, kw_only=True):
    """What a key may do.

    Parameters
    ----------
    may_trade
        Orders on the account's market.
    may_withdraw
        Money out of the account.
    is_bound
        Only from listed addresses.
    may_transfer
        Money into other accounts of the same owner, or of the venue's other customers.
    """

    may_trade: bool
    may_withdraw: bool
    is_bound: bool
    may_transfer: bool = False


async def permissions_of(
    venue: LiveVenue, keys: Keys, *, transport: httpx.AsyncBaseTransport | None = None
) -> Permissions:
    """Ask the venue.

    Parameters
    ----------
    venue, keys
        The account.
    transport
        Replaces the network in tests.

    Raises
    ------
    NotToldError
        When the venue has no such question (testnet, demo, local exchange).
    ConfigurationError
        When it refuses the key.
    VenueError
        When it cannot be reached.

    References
    ----------
    Binance, "Get API Key Permission"; Bybit, version 5, "Get API Key Information".
    """
    address = addresses_of(venue).http
    if venue.venue == "bybit":
        return bybit_permissions(
            await SignedRest(address, keys, transport=transport).bybit(BYBIT_PATH), venue.market
        )
    if venue.environment == "live" and venue.hosts.http is None:
        address = BINANCE_WALLET
    answer = await SignedRest(address, keys, transport=transport).binance(BINANCE_PATH)
    return binance_permissions(answer, venue.market)


def binance_permissions(answer: Any, market: str) -> Permissions:
    """Read Binance's answer.

    Examples
    --------
    >>> binance_permissions({"enableFutures": True, "enableWithdrawals": False, "ipRestrict": True}, "usdm")
    Permissions(may_trade=True, may_withdraw=False, is_bound=True, may_transfer=False)
    >>> binance_permissions({"enableFutures": True}, "usdm").may_withdraw  # not told is not "no"
    True
    """
    trades = "enableFutures" if market == "usdm" else "enableSpotAndMarginTrading"
    return Permissions(
        may_trade=bool(answer.get(trades, False)),
        may_withdraw=bool(answer.get("enableWithdrawals", True)),
        is_bound=bool(answer.get("ipRestrict", False)),
        may_transfer=any(answer.get(one, False) for one in BINANCE_MOVES),
    )


def bybit_permissions(answer: Any, market: str) -> Permissions:
    """Read Bybit's answer.

    Examples
    --------
    >>> bybit_permissions({"readOnly": 0, "ips": ["*"], "permissions": {"Spot": ["SpotTrade"]}}, "spot")
    Permissions(may_trade=True, may_withdraw=False, is_bound=False, may_transfer=False)
    """
    groups = answer.get("permissions", {})
    granted = {one for group in groups.values() for one in group or ()}
    wanted = {"SpotTrade"} if market == "spot" else {"Order", "DerivativesTrade"}
    addresses = answer.get("ips") or ["*"]
    return Permissions(
        may_trade=not answer.get("readOnly", 0) and bool(granted & wanted),
        may_withdraw=bool(granted & set(BYBIT_OUT)),
        is_bound=addresses != ["*"],
        may_transfer=bool(granted & BYBIT_MOVES),
    )
