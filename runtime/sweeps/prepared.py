"""What a run computes before its first bar, compared with what a prefix of the data gives."""

import numpy as np

from runtime.cli import format_ns
from runtime.membership import DAY_NS
from runtime.run_plan import RunPlan
from runtime.score_columns import Columns
from runtime.sweeps.findings import Findings, compare_columns
from strategies.universe_rule import day_number


def compare_universes(prefix: RunPlan, whole: RunPlan, last_ns: int, findings: Findings) -> None:
    """Compare the days that have begun by the end of a prefix (UNIX nanoseconds), coin by coin."""
    mine, theirs = prefix.universe, whole.universe
    if mine is None and theirs is None:
        return
    where = f"universe of the prefix to {format_ns(last_ns)}"
    if mine is None or theirs is None:
        findings.differ(f"{where}: there is one only {'with all data' if mine is None else 'in the prefix'}")
        return
    some, every = mine.days, theirs.days
    if (some.first_day, some.enforced, some.coins.keys()) != (
        every.first_day,
        every.enforced,
        every.coins.keys(),
    ):
        findings.differ(f"{where}: begins on another day, holds other coins or is enforced otherwise")
        return
    days = last_ns // DAY_NS - day_number(some.first_day) + 1
    findings.add("membership", max(days, 0) * len(some.coins))
    for name, row in some.coins.items():
        if row[:days] != every.coins[name][:days]:
            findings.differ(
                f"{where}: days of {name} from {some.first_day} on are {row[:days]} with the data up to "
                f"there, {every.coins[name][:days]} with all data"
            )


def compare_scores(prefix: Columns, whole: Columns, where: str, findings: Findings) -> None:
    """Compare every place of the columns, and every row that was kept, bit by bit."""
    count = prefix.grid.count
    if (prefix.grid.first_ns, prefix.grid.step_ns) != (whole.grid.first_ns, whole.grid.step_ns):
        findings.differ(f"{where}: the columns begin at another time")
        return
    for number, series in enumerate(prefix.series):
        name = series.instrument_id
        for column, values in prefix.arrays.items():
            mine = np.ascontiguousarray(values[number])
            theirs = np.ascontiguousarray(whole.arrays[column][number, :count])
            width = f"V{mine.dtype.itemsize}"
            differing = np.flatnonzero(mine.view(width) != theirs.view(width))
            if len(differing):
                place = int(differing[0])
                findings.differ(
                    f"{where}: {name} at {format_ns(prefix.grid.close_ns(place))}, column {column}: "
                    f"{mine[place]} with the data up to there, {theirs[place]} with all data"
                )
        findings.add("scored bar", int(np.count_nonzero(prefix.arrays["close_ticks"][number])))
        places, known = prefix.kept_at[prefix.kept_of == number], whole.kept_at[whole.kept_of == number]
        known = known[known < count]
        if not np.array_equal(places, known):
            findings.differ(f"{where}: {name}: {len(places)} rows were kept, {len(known)} with all data")
            continue
        compare_columns("score row", prefix.rows[number], whole.rows[number], f"{where}: {name}", findings)
        prefix.drop_pages()
        whole.drop_pages()
