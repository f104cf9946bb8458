"""What ``ctl status`` tells a person: one line per instrument, and what needs attention first."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

SIDES: Final = {"L": "long", "S": "short"}


def status_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the facts of ``ctl status`` as lines.

    Parameters
    ----------
    facts
        Of the answer: ``killed``, ``paused``, ``desks``, and what services of the node add.

    Examples
    --------
    >>> desk = {"instrument": "XRPUSDT.BINANCE", "strategy": "OTE-000", "setup": "L1", "stage": "PARTIAL"}
    >>> desk |= {"position_qty": "80.0", "exitable_qty": "80", "uncovered_qty": "0", "entering_qty": "20"}
    >>> status_lines({"desks": [desk]})[0].split("; ")[:2]
    ['XRPUSDT.BINANCE: long 80, its stop covers all of it', 'an entry of 20 waits']
    """
    lines = list(_node(facts.get("node")))
    if facts.get("killed"):
        lines.append(f"KILLED {facts['killed']}: nothing is opened until `ctl rearm`")
    if facts.get("paused"):
        lines.append(f"PAUSED: {', '.join(facts['paused'])}, until `ctl resume`")
    lines += [_desk(one) for one in facts.get("desks", ())]
    return lines + list(_unprotected(facts.get("unprotected")))


def _node(node: Mapping[str, Any] | None) -> Iterable[str]:
    if node is not None:
        yield f"{node['mode']} node, session {node['session']}"


def _desk(desk: Mapping[str, Any]) -> str:
    parts = [_position(desk), _entry(desk), _entries(desk)]
    setup = " ".join(str(desk[name]) for name in ("strategy", "setup", "stage") if desk.get(name))
    return f"{desk['instrument']}: {'; '.join(part for part in parts if part)} ({setup})"


def _position(desk: Mapping[str, Any]) -> str:
    held, uncovered = _qty(desk, "position_qty"), _qty(desk, "uncovered_qty")
    if not held:
        return "flat"
    side = SIDES.get(str(desk.get("setup", ""))[:1], "position")
    if desk.get("stage") == "EXITING":
        return f"{side} {held:f}, being closed"
    if not _qty(desk, "exitable_qty"):
        return f"{side} {held:f}, less than the venue sells"
    if not uncovered:
        return f"{side} {held:f}, its stop covers all of it"
    return f"{side} {held:f}, WITHOUT A STOP FOR {uncovered:f}"


def _entry(desk: Mapping[str, Any]) -> str:
    waits = _qty(desk, "entering_qty")
    return f"an entry of {waits:f} waits" if waits else ""


def _entries(desk: Mapping[str, Any]) -> str:
    if desk.get("halted"):
        return "entries HALTED until `ctl rearm`"
    return f"entries held: {desk['held']}" if desk.get("held") else "entries free"


def _unprotected(report: Mapping[str, Any] | None) -> Iterable[str]:
    if report is None:
        return
    longest = {name: secs for name, secs in report["longest_secs"].items() if secs}
    if longest:
        name = max(longest, key=longest.__getitem__)
        yield (
            f"longest time without a stop at the venue: {longest[name]:.2f} s ({name}); the watchdog closed "
            f"{report['violations']} times"
        )


def _qty(desk: Mapping[str, Any], name: str) -> Decimal:
    """Return an amount without the zeros behind it."""
    qty = Decimal(desk.get(name) or 0)
    return qty.normalize() if qty else Decimal(0)


__all__ = ["status_lines"]
