"""The report of a model as one HTML page: no script, style, font or picture from anywhere else."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.booster import contributions
from ml.evaluate import Evaluation
from ml.money import threshold_curve
from ml.passport import Metrics, Passport, rule_words
from ml.report_charts import Axis, Line, axis_for, bars, chart, swarm
from ml.scores import roc_curve
from ml.train import Trained
from ml.train_settings import TrainSettings
from ml.verdict import Scored

STYLE: Final = Path(__file__).with_name("report.css")
MOST_FEATURES: Final = 15
SHAP_ROWS: Final = 1_000
SHAP_DOTS: Final = 120
MONEY_POINTS: Final = 400
DIAGONAL: Final = ((0.0, 0.0), (1.0, 1.0))
IN_SAMPLE: Final = "In-sample: in or before the training of the model; says nothing about tomorrow;"
NANOS_PER_DAY: Final = 86_400_000_000_000


def render_training(trained: Trained, passport: Passport, settings: TrainSettings) -> str:
    """Return the page of a training: all figures are of rows that the judged models did not learn from.

    Parameters
    ----------
    trained, passport
        See `ml.train`; the passport as it is written to the folder.
    settings
        Of the training.
    """
    split = passport.split
    notes = [
        f"Out of fold: {split.scheme}, {split.folds} splits, purged, embargo {split.embargo_secs:,.0f} s."
    ]
    if len(trained.trials) > 1:
        notes.append(
            f"Chosen among {len(trained.trials)} settings on the earlier rows; all figures are of "
            f"{split.n_judged:,} orders of the last quarter, which had no part in the choice."
        )
    if len(trained.path_aucs) > 1:
        low, high = min(trained.path_aucs), max(trained.path_aucs)
        notes.append(f"AUC of {len(trained.path_aucs)} combinatorial paths: {low:.3f} to {high:.3f}.")
    if split.n_tainted:
        notes.append(f"Tainted orders left out: {split.n_tainted:,}; trades were missing in their position.")
    if passport.data.synthetic:
        notes.append("Synthetic data: these figures say nothing about a market.")
    return _page(
        f"Model {passport.model_id}",
        passport.verdict,
        passport.reasons,
        notes,
        passport.metrics,
        trained.scored,
        passport,
        trained.booster,
        settings,
    )


def render_evaluation(
    found: Evaluation, passport: Passport, booster: xgb.Booster, settings: TrainSettings
) -> str:
    """Return the page of an evaluation; it says so where the rows are in-sample."""
    notes = [f"{IN_SAMPLE} {found.reasons[0]}."] if found.is_in_sample else ["Out of sample."]
    return _page(
        f"Model {passport.model_id} {'IN-SAMPLE' if found.is_in_sample else 'on other rows'}",
        found.verdict,
        found.reasons,
        notes,
        found.metrics,
        found.scored,
        passport,
        booster,
        settings,
    )


def _page(
    title: str,
    verdict: str,
    reasons: Sequence[str],
    notes: Sequence[str],
    metrics: Metrics,
    scored: Scored,
    passport: Passport,
    booster: xgb.Booster,
    settings: TrainSettings,
) -> str:
    shap = _shap(booster, scored.data.x)
    css = "good" if verdict == "skill" else "bad"
    failed = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    return "".join((
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>",
        f'<h1>{html.escape(title)}: <span class="{css}">{verdict.replace("_", " ")}</span></h1>',
        *(
            f'<p class="{"bad" if note.startswith(IN_SAMPLE) else "muted"}">{html.escape(note)}</p>'
            for note in notes
        ),
        f"<ul>{failed}</ul>" if failed else "",
        _tiles(metrics),
        '<div class="two">',
        _card("Reliability", _reliability(metrics)),
        _card("ROC", _roc(scored)),
        _card("Money: gated and ungated", _money(scored, settings)),
        _card("Threshold", _threshold(scored, settings)),
        _card("Importance (total gain)", _importance(booster)),
        _card("SHAP: mean absolute contribution", _mean_shap(shap, scored)),
        _card("SHAP per decision, blue low to red high value", _swarm(shap, scored)),
        _card("Passport", _facts(passport)),
        "</div></main></body></html>",
    ))  # fmt: skip


def _card(title: str, content: str) -> str:
    return f'<section class="card"><h2>{html.escape(title)}</h2>{content}</section>'


def _tiles(m: Metrics) -> str:
    gain = m.expectancy_gain_ci
    shown = (
        ("AUC", f"{m.auc:.3f}"),
        ("its 95 % interval", f"{m.auc_ci[0]:.3f} to {m.auc_ci[1]:.3f}"),
        ("log-loss (base rate)", f"{m.logloss:.4f} ({m.base_logloss:.4f})"),
        ("orders kept", f"{m.kept_share:.0%}"),
        ("R per order, kept", _r(m.expectancy_kept_r)),
        ("R per order, all", _r(m.expectancy_all_r)),
        ("difference, 95 %", f"{gain[0]:+.3f} to {gain[1]:+.3f}" if gain else "-"),
        (f"deflated Sharpe, {m.n_trials} trials", "-" if m.dsr is None else f"{m.dsr:.3f}"),
        ("probability of overfitting", "-" if m.pbo is None else f"{m.pbo:.2f}"),
    )
    tiles = "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in shown)
    return f'<div class="tiles">{tiles}</div>'


def _r(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f} R"


def _reliability(metrics: Metrics) -> str:
    points = [(one.predicted, one.observed) for one in metrics.reliability]
    slope = "-" if metrics.slope is None else f"{metrics.slope:.2f}"
    lines = (Line("calibrated", "plain", DIAGONAL), Line(f"model, slope {slope}", "main", points, True))
    drawn = chart("Reliability", Axis("predicted", 0, 1), Axis("share of targets reached", 0, 1), lines)
    return f'{drawn}<p class="muted">{sum(one.n for one in metrics.reliability):,} decisions in bins.</p>'


def _roc(scored: Scored) -> str:
    data = scored.data
    lines = (
        Line("no skill", "plain", DIAGONAL),
        # Calibrated per fold, so that rows of different folds can share one curve.
        Line("model", "main", roc_curve(scored.probability, data.y, data.weight)),
    )
    return chart("ROC", Axis("false positive rate", 0, 1), Axis("true positive rate", 0, 1), lines)


def _money(scored: Scored, settings: TrainSettings) -> str:
    orders = scored.orders()
    if not len(orders):
        return '<p class="muted">No filled order.</p>'
    kept = orders.kept(settings.margin)
    days = (orders.t0_ns - orders.t0_ns[0]) / NANOS_PER_DAY
    everything = np.cumsum(orders.net_r)
    gated = np.cumsum(np.where(kept, orders.net_r, 0.0))
    share = float(np.mean(kept))
    lines = (
        Line(f"random cancels at the same rate ({1 - share:.0%})", "plain", _thin(days, everything * share)),
        Line("all orders", "other", _thin(days, everything)),
        Line("kept by the gate", "main", _thin(days, gated)),
    )
    y = axis_for("net R, summed", [*everything.tolist(), *gated.tolist(), 0.0])
    return chart("Money", axis_for("days", [0.0, float(days[-1])]), y, lines)


def _thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[float, float]]:
    chosen = np.unique(np.linspace(0, len(x) - 1, MONEY_POINTS).astype(np.int64))
    return [(float(x[at]), float(y[at])) for at in chosen]


def _threshold(scored: Scored, settings: TrainSettings) -> str:
    curve = threshold_curve(scored.orders())
    if not curve:
        return '<p class="muted">No filled order.</p>'
    expectancy = [(margin, value) for margin, _, value in curve if value is not None]
    kept = [(margin, share) for margin, share, _ in curve]
    x = axis_for("margin over p*", [margin for margin, _, _ in curve], "{:.2f}")
    money = chart(
        "Expectancy by margin",
        x,
        axis_for("R per kept order", [value for _, value in expectancy]),
        [Line(f"expectancy; the rule uses {settings.margin:g}", "main", expectancy)],
    )
    lines = [Line("share of orders kept", "other", kept)]
    return money + chart("Kept by margin", x, Axis("share kept", 0, 1), lines)


def _importance(booster: xgb.Booster) -> str:
    gains = {
        name: float(gain[0] if isinstance(gain, list) else gain)
        for name, gain in booster.get_score(importance_type="total_gain").items()
    }
    ranked = sorted(gains.items(), key=lambda one: (-one[1], one[0]))[:MOST_FEATURES]
    return (
        bars("Importance", ranked, "{:,.1f}") if ranked else '<p class="muted">No split was worth making.</p>'
    )


def _shap(booster: xgb.Booster, x: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    chosen = np.unique(np.linspace(0, len(x) - 1, SHAP_ROWS).astype(np.int64))
    return chosen, contributions(booster, x[chosen])[:, :-1]


def _ranked(shap: NDArray[np.float64]) -> list[int]:
    mean = np.abs(shap).mean(axis=0)
    return [int(at) for at in np.argsort(-mean, kind="stable")[:MOST_FEATURES] if mean[at] > 0]


def _mean_shap(shap: tuple[NDArray[np.int64], NDArray[np.float64]], scored: Scored) -> str:
    values = shap[1]
    rows = [(scored.data.names[at], float(np.abs(values[:, at]).mean())) for at in _ranked(values)]
    note = f'<p class="muted">Log-odds; {len(values):,} decisions, the final model.</p>'
    return bars("Mean SHAP", rows) + note


def _swarm(shap: tuple[NDArray[np.int64], NDArray[np.float64]], scored: Scored) -> str:
    chosen, values = shap
    rows = []
    step = max(1, len(chosen) // SHAP_DOTS)
    for at in _ranked(values):
        column = scored.data.x[chosen, at]
        finite = np.isfinite(column)
        rank = np.zeros(len(column))
        rank[finite] = np.argsort(np.argsort(column[finite], kind="stable"), kind="stable")
        rank /= max(int(finite.sum()) - 1, 1)
        dots = [(float(values[row, at]), float(rank[row])) for row in np.flatnonzero(finite)[::step]]
        rows.append((scored.data.names[at], dots))
    return swarm("SHAP values", rows, "contribution to the log-odds")


def _facts(passport: Passport) -> str:
    split, label = passport.split, passport.label
    facts = (
        *((name, f"{one.stream}, {one.bucket_usd:g} USD buckets") for name, one in passport.symbols.items()),
        ("decisions / orders", f"{split.n_events:,} / {split.n_orders:,}"),
        ("independent events", f"{split.n_effective:,.0f}"),
        ("fill rule", label.fill_rule or "-"),
        ("latency", "-" if label.latency_ms is None else f"{label.latency_ms:g} ms"),
        ("kind", passport.kind),
        ("rule", rule_words(passport)),
        ("calibration", f"a {passport.calibration.a:.4f}, b {passport.calibration.b:.4f}"),
        *((name, f"{value:.4g}" if isinstance(value, float) else str(value))
          for name, value in passport.params.items()),
        ("blocks of the intervals", f"{passport.metrics.ci_block_secs / 3_600:g} h"),
        ("features", passport.feature_schema_sha256[:16]),
        ("model", passport.model_sha256[:16]),
        ("settings", passport.build.config_sha256[:16]),
    )  # fmt: skip
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in facts
    )
    return f"<table>{cells}</table>"
