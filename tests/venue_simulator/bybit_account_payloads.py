"""Bybit's payloads of positions, wallet and API key; the same builder feeds REST and stream.

Where the shapes come from (`wire/bybit` of the shared data, against which a test holds every builder):
http_get_positions, ws_account_position, http_get_wallet_balance, ws_account_wallet, http_get_user_query_api.
"""

from decimal import Decimal
from typing import Any, Final

from tests.venue_simulator.bybit_ids import ms, price_text, qty_text, trimmed
from tests.venue_simulator.core import Account, Balance, Position
from tests.venue_simulator.core.terms import ZERO

type Payload = dict[str, Any]

# Maintenance margin of the first risk tier of the large contracts (Bybit v5 "Get Risk Limit").
MAINTENANCE_RATIO: Final = Decimal("0.005")


def position_fields(position: Position, mark: Decimal, now_ns: int) -> Payload:
    """Return what REST and stream say alike about a position."""
    market = position.market
    size = abs(position.qty)
    value = size * position.entry_price
    margin = position.initial_margin(mark)
    maintenance = size * mark * MAINTENANCE_RATIO
    return {
        "positionIdx": 0,
        "tradeMode": 0,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": market.symbol,
        "side": "Buy" if position.qty > 0 else "Sell" if position.qty < 0 else "",
        "size": qty_text(market, size),
        "positionValue": trimmed(value),
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if size else 0,
        "leverage": trimmed(position.leverage),
        "positionBalance": trimmed(margin),
        "markPrice": price_text(market, mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionMM": trimmed(maintenance),
        "positionIM": trimmed(margin),
        "tpslMode": "Full",
        "takeProfit": "0",
        "stopLoss": "0",
        "trailingStop": "0",
        "unrealisedPnl": trimmed(position.unrealized_pnl(mark)),
        "curRealisedPnl": trimmed(position.realized_pnl),
        "cumRealisedPnl": trimmed(position.realized_pnl),
        "seq": position.seq,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(ms(position.created_ns or now_ns)),
        "updatedTime": str(ms(position.updated_ns or now_ns)),
    }


def rest_position(position: Position, mark: Decimal, now_ns: int) -> Payload:
    """Return a row of ``/v5/position/list`` (http_get_positions)."""
    average = price_average(position)
    return {**position_fields(position, mark, now_ns), "avgPrice": average}


def stream_position(position: Position, mark: Decimal, now_ns: int) -> Payload:
    """Return the `data` element of topic ``position`` (ws_account_position)."""
    fields = position_fields(position, mark, now_ns)
    return {
        **fields,
        "category": "linear",
        "entryPrice": price_average(position),
        "sessionAvgPrice": "",
        "positionIMByMp": fields["positionIM"],
        "positionMMByMp": fields["positionMM"],
    }


def price_average(position: Position) -> str:
    """Return the average entry price, "0" when flat; averages are finer than the tick."""
    return trimmed(round(position.entry_price, 8)) if position.qty else "0"


def coin_fields(
    coin: str, balance: Balance, order_margin: Decimal, position_margin: Decimal, upnl: Decimal
) -> Payload:
    """Return what REST and stream say alike about one coin of the wallet.

    What contracts bind is `totalOrderIM` and `totalPositionIM`, what spot orders hold back is `locked`
    (Bybit v5 "Get Wallet Balance").
    """
    available = balance.free - order_margin - position_margin
    return {
        "coin": coin,
        "equity": trimmed(balance.total + upnl),
        "walletBalance": trimmed(balance.total),
        "availableToWithdraw": trimmed(max(available, ZERO)),
        "availableToBorrow": "",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "totalOrderIM": trimmed(order_margin),
        "totalPositionIM": trimmed(position_margin),
        "totalPositionMM": trimmed(position_margin / 20),
        "spotBorrow": "0",
        "locked": trimmed(balance.locked),
    }


def rest_coin(fields: Payload) -> Payload:
    """Return a coin of ``/v5/account/wallet-balance`` (http_get_wallet_balance)."""
    return {
        **fields,
        "bonus": "0",
        "usdValue": fields["equity"],
        "unrealisedPnl": "0",
        "cumRealisedPnl": "0",
        "collateralSwitch": True,
        "marginCollateral": True,
    }


def wallet_totals(equity: Decimal, wallet: Decimal, available: Decimal, margin: Decimal) -> Payload:
    """Return the sums of the wallet in USD."""
    return {
        "accountIMRate": "0",
        "accountMMRate": "0",
        "accountLTV": "0",
        "totalEquity": trimmed(equity),
        "totalWalletBalance": trimmed(wallet),
        "totalMarginBalance": trimmed(wallet),
        "totalAvailableBalance": trimmed(available),
        "totalInitialMargin": trimmed(margin),
        "totalMaintenanceMargin": trimmed(margin / 20),
    }


def api_key_info(account: Account, now_iso: str) -> Payload:
    """Return the result of ``/v5/user/query-api`` (http_get_user_query_api).

    The word "Withdraw" among the wallet's permissions is what tells a key that may withdraw (Bybit v5 "Get
    API Key Information").
    """
    trading = ["Order", "Position"] if account.can_trade else []
    return {
        "id": "2208369",
        "note": "local exchange",
        "apiKey": account.api_key,
        "readOnly": 0 if account.can_trade else 1,
        "secret": "",
        "permissions": {
            "ContractTrade": trading,
            "Spot": ["SpotTrade"] if account.can_trade else [],
            "Wallet": ["AccountTransfer", "Withdraw"] if account.can_withdraw else [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"] if account.can_trade else [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
            "FiatP2P": [],
            "FiatBybitPay": [],
            "FiatConvertBroker": [],
            "FiatGlobalPay": [],
            "FiatBitPay": [],
            "BitCard": [],
            "ByXPost": [],
        },
        "ips": ["127.0.0.1"] if account.ip_restricted else ["*"],
        "type": 1,
        "deadlineDay": -2 if account.ip_restricted else 83,
        "expiredAt": "1970-01-01T00:00:00Z",
        "createdAt": now_iso,
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_1",
        "kycRegion": "",
        "userIDInt64": "1",
        "inviterIDInt64": "0",
        "affiliateIDInt64": "0",
    }
