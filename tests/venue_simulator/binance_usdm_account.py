"""What Binance USD-M tells the owner of an account: positions, margin, balances, permissions, the listen key.

Sources: developers.binance.com, "USDⓈ-M Futures", sections Account and User Data Streams; recorded messages
under `data/wire/binance/futures/{http_json,user_data_json}`. Numbers come as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

type Payload = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class PositionView:
    """One position in one-way mode, in the words of the wire; `amount` is signed."""

    symbol: str
    amount: str
    entry_price: str
    break_even_price: str
    mark_price: str
    unrealized: str
    realized: str
    liquidation_price: str
    notional: str
    initial_margin: str
    maintenance_margin: str
    leverage: int
    updated_ms: int


def account_update(
    reason: str, asset: str, wallet: str, change: str, positions: Sequence[PositionView], now_ms: int
) -> Payload:
    """ACCOUNT_UPDATE (account_update.json; "Event: Balance and Position Update").

    `reason` is ORDER, FUNDING_FEE, DEPOSIT, ...; `change` is the balance change without PnL and commission.
    """
    rows = [
        {
            "s": view.symbol,
            "pa": view.amount,
            "ep": view.entry_price,
            "bep": view.break_even_price,
            "cr": view.realized,
            "up": view.unrealized,
            "mt": "cross",
            "iw": "0",
            "ps": "BOTH",
        }
        for view in positions
    ]
    balance = {"a": asset, "wb": wallet, "cw": wallet, "bc": change}
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": {"m": reason, "B": [balance], "P": rows}}


def income_row(symbol: str, asset: str, amount: str, now_ms: int, number: int) -> Payload:
    """Give a row of GET /fapi/v1/income ("Get Income History") for a funding fee."""
    return {
        "symbol": symbol,
        "incomeType": "FUNDING_FEE",
        "income": amount,
        "asset": asset,
        "info": "FUNDING_FEE",
        "time": now_ms,
        "tranId": 9_689_322_392 + number,
        "tradeId": "",
    }


def listen_key_expired(listen_key: str, now_ms: int) -> Payload:
    """`listenKeyExpired` ("Event: User Data Stream Expired")."""
    return {"e": "listenKeyExpired", "E": now_ms, "listenKey": listen_key}


def position_risk(view: PositionView, version: int) -> Payload:
    """Give one row of GET /fapi/v2|v3/positionRisk (position_risk.json; "Position Information V3")."""
    row = {
        "symbol": view.symbol,
        "positionSide": "BOTH",
        "positionAmt": view.amount,
        "entryPrice": view.entry_price,
        "breakEvenPrice": view.break_even_price,
        "markPrice": view.mark_price,
        "unRealizedProfit": view.unrealized,
        "liquidationPrice": view.liquidation_price,
        "isolatedMargin": "0",
        "notional": view.notional,
        "isolatedWallet": "0",
        "updateTime": view.updated_ms,
    }
    if version == 2:
        return row | {
            "leverage": str(view.leverage),
            "maxNotionalValue": "250000",
            "marginType": "cross",
            "isAutoAddMargin": "false",
        }
    return row | {
        "marginAsset": "USDT",
        "initialMargin": view.initial_margin,
        "maintMargin": view.maintenance_margin,
        "positionInitialMargin": view.initial_margin,
        "openOrderInitialMargin": "0",
        "adl": 2,
        "bidNotional": "0",
        "askNotional": "0",
    }


@dataclass(slots=True, kw_only=True)
class AssetView:
    """One margin asset in the words of the wire."""

    asset: str
    wallet: str
    unrealized: str
    margin_balance: str
    maintenance_margin: str
    initial_margin: str
    position_margin: str
    order_margin: str
    available: str
    updated_ms: int


def _asset_row(view: AssetView) -> Payload:
    return {
        "asset": view.asset,
        "walletBalance": view.wallet,
        "unrealizedProfit": view.unrealized,
        "marginBalance": view.margin_balance,
        "maintMargin": view.maintenance_margin,
        "initialMargin": view.initial_margin,
        "positionInitialMargin": view.position_margin,
        "openOrderInitialMargin": view.order_margin,
        "crossWalletBalance": view.wallet,
        "crossUnPnl": view.unrealized,
        "availableBalance": view.available,
        "maxWithdrawAmount": view.available,
        "marginAvailable": True,
        "updateTime": view.updated_ms,
    }


def account(view: AssetView, positions: Sequence[PositionView], *, can_withdraw: bool) -> Payload:
    """GET /fapi/v2/account (account_info_v2.json; "Account Information V2"), one asset."""
    rows = [
        {
            "symbol": position.symbol,
            "initialMargin": position.initial_margin,
            "maintMargin": position.maintenance_margin,
            "unrealizedProfit": position.unrealized,
            "positionInitialMargin": position.initial_margin,
            "openOrderInitialMargin": "0",
            "leverage": str(position.leverage),
            "isolated": False,
            "entryPrice": position.entry_price,
            "maxNotional": "250000",
            "bidNotional": "0",
            "askNotional": "0",
            "positionSide": "BOTH",
            "positionAmt": position.amount,
            "updateTime": position.updated_ms,
        }
        for position in positions
    ]
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": can_withdraw,
        "updateTime": view.updated_ms,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
        "totalInitialMargin": view.initial_margin,
        "totalMaintMargin": view.maintenance_margin,
        "totalWalletBalance": view.wallet,
        "totalUnrealizedProfit": view.unrealized,
        "totalMarginBalance": view.margin_balance,
        "totalPositionInitialMargin": view.position_margin,
        "totalOpenOrderInitialMargin": view.order_margin,
        "totalCrossWalletBalance": view.wallet,
        "totalCrossUnPnl": view.unrealized,
        "availableBalance": view.available,
        "maxWithdrawAmount": view.available,
        "assets": [_asset_row(view)],
        "positions": rows,
    }


def balance(view: AssetView) -> Payload:
    """Give one row of GET /fapi/v2|v3/balance (balance.json; "Futures Account Balance")."""
    return {
        "accountAlias": "SgsR",
        "asset": view.asset,
        "balance": view.wallet,
        "crossWalletBalance": view.wallet,
        "crossUnPnl": view.unrealized,
        "availableBalance": view.available,
        "maxWithdrawAmount": view.available,
        "marginAvailable": True,
        "updateTime": view.updated_ms,
    }


def symbol_config(symbol: str, leverage: int, margin_type: str) -> Payload:
    """Give one row of GET /fapi/v1/symbolConfig ("Symbol Configuration")."""
    return {
        "symbol": symbol,
        "marginType": margin_type,
        "isAutoAddMargin": False,
        "leverage": leverage,
        "maxNotionalValue": "250000",
    }


def commission_rate(symbol: str, maker: str, taker: str) -> Payload:
    """GET /fapi/v1/commissionRate ("User Commission Rate")."""
    return {"symbol": symbol, "makerCommissionRate": maker, "takerCommissionRate": taker}


def api_restrictions(*, can_withdraw: bool, is_ip_restricted: bool) -> Payload:
    """GET /sapi/v1/account/apiRestrictions (Wallet, "Get API Key Permission")."""
    return {
        "ipRestrict": is_ip_restricted,
        "createTime": 1_698_645_219_000,
        "enableReading": True,
        "enableSpotAndMarginTrading": False,
        "enableWithdrawals": can_withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": True,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": True,
        "enablePortfolioMarginTrading": False,
    }
