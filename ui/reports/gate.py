"""What a cancel policy did in a run and what that was worth, in words: for the terminal and the tearsheet."""

from collections.abc import Mapping
from typing import Any, Final

FEATURES_SHOWN: Final = 3
IN_SAMPLE: Final = (
    "IN-SAMPLE: days in or before the training of the model, its figures say nothing about tomorrow"
)


def gate_lines(name: str, report: Mapping[str, Any], currency: str) -> list[tuple[str, str]]:
    """Return what a cancel policy did to the entries of an instrument and what that was worth.

    Parameters
    ----------
    name
        Nautilus instrument id.
    report
        Of the instrument, under ``model`` in `summary.json`.
    currency
        Of the account.
    """
    ledger, cancels = report["ledger"], report["cancels"]
    low, high = (number(one, 1, "+.2f") for one in ledger["saved_r_ci"] or (None, None))
    trivial = ledger["baselines"]
    everything, random = trivial["cancel_all_saved_r"], trivial["random_cancel_saved_r"]
    in_time, filled = cancels["cancelled_in_time"], cancels["filled_first"]
    doubts = ledger["doubts"]
    return [
        *(_model_lines(name, report) if "model_id" in report else ()),
        ("cancels", f"{in_time} in time, {filled} filled first, {cancels['cancel_rejected']} rejected"),
        (
            "saved by cancels",
            f"{ledger['saved_r']:+.2f} R ({low} to {high}), {ledger['saved_money']:+,.2f} {currency}",
        ),
        ("trivial gates", f"cancel all {everything:+.2f} R, as many at random {random:+.2f} R"),
        ("gate in this run", f"no skill: {'; '.join(doubts)}" if doubts else "has skill"),
    ]


def _model_lines(name: str, report: Mapping[str, Any]) -> list[tuple[str, str]]:
    verdict = "has skill" if report["verdict"] == "skill" else "has NO skill by its validation"
    force = "" if report["in_force"] else ", gates nothing"
    lines = [(f"model {name}", f"{report['model_id']} {verdict}{force}")]
    if report["in_sample"]:
        lines.append(("in-sample", IN_SAMPLE))
    if late := report["decisions"].get("expired", 0):
        action = "taken back" if report["on_unfit"] == "cancel" else "kept"
        lines.append(("EXPIRED", f"during this run: {late:,} decisions without it, entries {action}"))
    if (latency := report["latency"])["count"]:
        unfit = number(report["unfit_share"], 100, ".2f", " %")
        timing = f"median {latency['p50_us']:.1f} us, p99 {latency['p99_us']:.1f} us"
        lines.append(("decisions", f"{latency['count']:,} ({unfit} could not be scored), {timing}"))
    lines += [("note", one) for one in report.get("notes", ())]
    lines += _why_lines(report["contributions"])
    lines.append(("drift", _drift(report["drift"])))
    return lines


def _why_lines(explained: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if explained is None:
        return []
    if "refused" in explained:
        return [("why it cancelled", f"not explained: {explained['refused']}")]
    named = explained["lowered_most"][:FEATURES_SHOWN]
    words = ", ".join(f"{one['feature']} {one['share']:.0%}" for one in named) or "no cancel was scored"
    return [("why it cancelled", f"{words} (decision by decision: {explained['file']})")]


def _drift(report: Mapping[str, Any]) -> str:
    calibration = report["calibration"]
    judged = f"{report['events']:,} orders, {calibration['events']:,} outcomes"
    if report["state"] == "waiting":
        return f"waiting: {judged}, {report['needed']} are needed"
    moved = ", ".join(report["moved"][:FEATURES_SHOWN])
    return f"{report['state']}: {judged}{'; moved: ' + moved if moved else ''}"


def number(value: float | None, factor: float, form: str, unit: str = "", before: str = "") -> str:
    """Return a figure with its unit, a dash where there is none."""
    return f"{before}-" if value is None else f"{before}{format(value * factor, form)}{unit}"


__all__ = ["IN_SAMPLE", "gate_lines", "number"]
