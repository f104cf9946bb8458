"""`live_node.py paper`: what the simulated account has, and starting it anew."""

import argparse
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus_trader.model.enums import AccountType

from runtime.cli import add_command, format_ns, print_json, say
from runtime.errors import EXIT_DONE, ConfigurationError
from runtime.live.paper import SESSION, SESSION_END, SESSION_START
from runtime.live.paper_rows import SERIALIZER, restored_order
from runtime.live.paper_state import FILE_NAME, PaperStore, is_locked
from runtime.settings import Settings, load_settings

DEFAULT_FOLDER: Final = "var/live"
PAPER: Final = "paper"


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "paper",
        run_paper,
        "Show the simulated account of paper trading, or start it anew.",
        "live_node.py paper status --json",
    )
    parser.add_argument("action", choices=("status", "reset"), help="status: show it; reset: forget it")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file; default: config.yaml")
    parser.add_argument("--yes", action="store_true", help="really forget balances, orders and positions")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def run_paper(arguments: argparse.Namespace) -> int:
    """Show or reset the account of the settings' folder."""
    folder = paper_folder(load_settings(arguments.config))
    if arguments.action == "reset":
        reset(folder, is_sure=arguments.yes)
        if arguments.json:
            print_json({"reset": str(folder / FILE_NAME)})
        else:
            say(f"{folder / FILE_NAME}: forgotten; the next paper session starts with the settings' balance")
        return EXIT_DONE
    found = status(folder)
    if arguments.json:
        print_json(found)
    else:
        print("\n".join(_lines(found)))
    return EXIT_DONE


def paper_folder(settings: Settings) -> Path:
    """Return the folder of the state of paper trading, never that of live trading."""
    live = getattr(settings, "live", None)
    return Path(DEFAULT_FOLDER if live is None else live.folder) / PAPER


def reset(folder: Path, *, is_sure: bool) -> None:
    """Forget all that the simulated venues of a folder keep, and what the node remembers of its trades.

    A kill file, recordings and logs stay.

    Raises
    ------
    ConfigurationError
        A node runs on the folder, there is nothing to forget, or the caller is not sure.
    """
    if folder.name != PAPER:
        raise ConfigurationError(f"{folder}: not the folder of a paper node, which is called {PAPER}")
    if not (folder / FILE_NAME).exists():
        raise ConfigurationError(f"{folder / FILE_NAME}: nothing to reset: no paper session was started here")
    if is_locked(folder):
        raise ConfigurationError(f"{folder}: a paper node is running: stop it, then reset")
    if not is_sure:
        raise ConfigurationError(
            f"{folder / FILE_NAME}: balances, orders and positions would be forgotten: say --yes"
        )
    with PaperStore(folder) as store:
        store.clear()
    # The adapters come with these, and other commands need none of them.
    from runtime.live.limit_watch import STATE_FILE as EQUITY_FILE
    from runtime.live.recovery import STATE_FILE as SETUPS_FILE
    from runtime.live.telemetry import DAY_FILE

    # After the account: memory without it is of trades that somebody closed, coins without one are nobody's.
    for name in (SETUPS_FILE, f"{SETUPS_FILE}-wal", f"{SETUPS_FILE}-shm", EQUITY_FILE, DAY_FILE):
        (folder / name).unlink(missing_ok=True)


def status(folder: Path) -> dict[str, Any]:
    """Return what the simulated venues of a folder have, amounts as text.

    Raises
    ------
    ConfigurationError
        No paper session was started there.
    """
    with PaperStore(folder, readonly=True) as store:
        return {
            "folder": str(folder),
            "running": is_locked(folder),
            "session": store.noted(SESSION) or None,
            "started": _time(store.noted(SESSION_START)),
            "ended": _time(store.noted(SESSION_END)),
            "accounts": [_account(store, venue) for venue in store.venues()],
        }


def _account(store: PaperStore, venue: str) -> dict[str, Any]:
    state = SERIALIZER.deserialize(store.account(venue))
    positions = [_position(store, row.summary) for row in store.positions(venue)]
    balances = [
        {
            "currency": one.currency.code,
            "total": plain(one.total.as_decimal()),
            "free": plain(one.free.as_decimal()),
            "locked": plain(one.locked.as_decimal()),
        }
        for one in state.balances
    ]
    holds_coins = state.account_type == AccountType.CASH
    payments = store.payments(venue)
    return {
        "venue": venue,
        "account": "CASH" if holds_coins else "MARGIN",
        "balances": balances,
        "equity": _equity(balances, positions, holds_coins=holds_coins),
        "positions": positions,
        "open_orders": [_order(row) for row in store.orders(venue, open_only=True)],
        "fills": len(store.fills(venue)),
        "funding": str(sum((one.amount for one in payments), Decimal(0))),
    }


def plain(amount: Decimal) -> str:
    """Return an amount without an exponent: dust is read by people.

    Examples
    --------
    >>> plain(Decimal("8.1E-7")), plain(Decimal("1E+2"))
    ('0.00000081', '100')
    """
    return f"{amount:f}"


def _equity(
    balances: list[dict[str, str]], positions: list[dict[str, Any]], *, holds_coins: bool
) -> dict[str, str]:
    """Return the worth of an account by currency: balances, and what is held at the last price."""
    worth = {one["currency"]: Decimal(one["total"]) for one in balances}
    for one in positions:
        price = Decimal(one["last"] or one["entry"])
        if not holds_coins:
            gain = Decimal(one["qty"]) * (price - Decimal(one["entry"])) * Decimal(one["multiplier"])
            worth[one["currency"]] = worth.get(one["currency"], Decimal(0)) + gain
        elif one["coin"] in worth:  # at their price, those of another strategy with them
            coins = worth.pop(one["coin"])
            worth[one["currency"]] = worth.get(one["currency"], Decimal(0)) + coins * price
    return {name: f"{amount:f}" for name, amount in worth.items()}


def _position(store: PaperStore, summary: dict[str, str]) -> dict[str, Any]:
    return {
        "instrument": summary["instrument"],
        "strategy": summary["strategy"],
        "qty": summary["qty"],
        "entry": summary["entry"],
        "last": store.price(summary["instrument"]),
        "realized": summary["realized"],
        "currency": summary["value_currency"],
        "coin": summary["coin"],
        "multiplier": summary["multiplier"],
    }


def _order(row: Any) -> dict[str, Any]:
    order = restored_order(row)
    return {
        "client_order_id": row.client_order_id,
        "venue_order_id": None if order.venue_order_id is None else order.venue_order_id.value,
        "instrument": row.instrument_id,
        "side": order.side_string(),
        "type": order.type_string(),
        "qty": str(order.quantity),
        "filled": str(order.filled_qty),
        "price": str(order.price) if order.has_price else None,
        "trigger": str(order.trigger_price) if order.has_trigger_price else None,
        "status": order.status_string(),
    }


def _time(kept: str | None) -> str | None:
    return None if kept is None else format_ns(int(kept))


def _lines(found: dict[str, Any]) -> list[str]:
    state = "running" if found["running"] else "not running"
    lines = [f"{found['folder']}: {state}, session {found['session'] or '-'} of {found['started'] or '-'}"]
    for account in found["accounts"]:
        worth = ", ".join(f"{amount} {name}" for name, amount in account["equity"].items())
        lines.append(f"{account['venue']} {account['account']}: equity {worth}, funding {account['funding']}")
        lines += [
            f"  balance {one['total']} {one['currency']} ({one['locked']} locked)"
            for one in account["balances"]
        ]
        lines += [
            f"  position {one['qty']} {one['instrument']} at {one['entry']}, last {one['last'] or '-'}"
            for one in account["positions"]
        ]
        lines += [
            f"  order {one['client_order_id']} {one['side']} {one['qty']} {one['instrument']} "
            f"{one['type']} {one['price'] or one['trigger'] or ''} {one['status']}"
            for one in account["open_orders"]
        ]
    return lines
