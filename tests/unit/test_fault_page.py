"""The fault matrix as it is published: whole, and what was measured."""

import json

import grimp

from tests.faults.page import JSON_FILE, PAGE_FILE, page_of
from tests.faults.recorder import BESIDE, ROOT, changed_since, code_files, is_under_test, merged
from tests.faults.rows import MISSING, ROWS


def test_page_is_what_the_results_give() -> None:
    """Nobody edited it, and `make faults` was run to its end."""
    assert PAGE_FILE.read_text() == page_of(json.loads(JSON_FILE.read_text()))


def test_it_was_measured_with_this_code() -> None:
    """Whoever changes what the matrix tests, or the tests, measures it again."""
    changed = changed_since(json.loads(JSON_FILE.read_text()))
    assert not changed, f"run `make faults` and `make soak`, for these changed: {', '.join(changed[:9])}"


def test_every_row_is_listed() -> None:
    """A row without a result says why."""
    page = PAGE_FILE.read_text()
    assert [name for name in ROWS if f"\n| {name} " not in page] == []
    assert len(ROWS) == 26
    assert set(MISSING) <= set(ROWS)


def test_a_new_result_replaces_the_old_one_of_its_row_and_venue() -> None:
    """The others stay, with the code that they were measured with."""
    row = {"row": "F07", "venue": "binance_usdm", "done": "", "measured": {}, "result": "no", "seconds": 1.0}
    old = merged({}, [row, row | {"venue": "bybit_spot"}], {"a.py": "1"})
    new = merged(old, [row | {"result": "pass"}], {"a.py": "2"})
    assert [(one["venue"], one["result"]) for one in new["rows"]] == [
        ("binance_usdm", "pass"),
        ("bybit_spot", "no"),
    ]
    assert len(new["codes"]) == 2
    assert merged({}, [row], {"a.py": "2"})["codes"].keys() < new["codes"].keys()


def test_a_row_of_several_tests_passes_when_all_do() -> None:
    """One that fails is not hidden by one that comes after it."""
    row = {"row": "F17", "venue": "-", "done": "", "measured": {"NaN": 1}, "result": "no", "reason": "x"}
    passed = {"row": "F17", "venue": "-", "done": "", "measured": {"infinite": 2}, "result": "pass"}
    for rows in ([row, passed], [passed, row]):
        (found,) = merged({}, [one | {"seconds": 1.5} for one in rows], {"a.py": "1"})["rows"]
        assert (found["result"], found["reason"], found["seconds"]) == ("no", "x", 3.0)
        assert found["measured"] == {"NaN": 1, "infinite": 2}


def test_a_changed_file_is_named() -> None:
    """What was measured with other code is known by it."""
    files = code_files()
    assert "live_node.py" in files
    same = merged({}, [], files) | {"codes": {"x": files}}
    assert changed_since(same) == []
    assert changed_since({"codes": {"x": files | {"live_node.py": "0"}}}) == ["live_node.py"]


def test_no_node_imports_what_is_beside_the_matrix() -> None:
    """A change there cannot change a row: neither a node nor the matrix's tests reach it."""
    graph = grimp.build_graph("strategies", "runtime", "packet_builder", "indicators", "ml", "tests", "ui")
    starts = {"runtime.live.command", "runtime.live.ctl", "runtime.live.paper_command", "runtime.journal"}
    starts |= {one for one in graph.modules if one.startswith(("strategies.", "tests.faults.test_"))}
    starts |= {"runtime.journal.__main__", "tests.faults.node", "tests.venue_simulator.__main__"}
    reached, new = set(starts), set(starts)
    while new:
        new = {far for one in new for far in graph.find_modules_directly_imported_by(one)} - reached
        reached |= new
    files = {f"{one.replace('.', '/')}.py" for one in reached}
    assert "runtime/live/session.py" in files
    beside = {one for one in files if not is_under_test(one)}
    assert beside <= {"tests/faults/page.py", "tests/faults/recorder.py"}
    assert all((ROOT / one).exists() for one in BESIDE)
