"""Strategies are found by their files and documented field by field."""

import json
import math
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import backtest_node
import strategies
from strategies.registry import (
    BrokenStrategy,
    config_docs,
    discover,
    documented_parameters,
    parameters,
    survey,
    type_name,
)
from strategies.trade_manager.plan import SideKind


def test_every_strategy_can_be_imported_by_its_paths() -> None:
    """Names are keys, versions are set, and both classes exist."""
    found = discover()
    assert "ote" in found
    for name, spec in found.items():
        assert spec.name == name
        assert spec.version
        assert spec.summary
        assert spec.strategy_class().__name__ in spec.strategy_path
        assert spec.config_class().__name__ in spec.config_path


def test_every_parameter_is_documented() -> None:
    """`strategies --json` shows name, type, default and a sentence for each setting of each strategy."""
    for spec in discover().values():
        listed = parameters(spec)
        assert listed
        for parameter in listed:
            assert parameter["doc"], f"{spec.config_path}.{parameter['name']} has no entry under Parameters"
            assert parameter["type"]
            assert parameter["default"] is None or isinstance(parameter["default"], bool | int | float | str)


def test_documentation_names_no_parameter_that_does_not_exist() -> None:
    """A renamed field takes its documentation along."""
    for spec in discover().values():
        own = {parameter["name"] for parameter in parameters(spec)}
        assert set(config_docs(spec.config_class())) == own


SOUND = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy
from strategies.registry import StrategySpec

SPEC = StrategySpec("{name}", "1", "Made up.", "strategies.{file}:Mine", "strategies.{file}:MineConfig")


class MineConfig(StrategyConfig, frozen=True, kw_only=True):
    '''Settings.

    Parameters
    ----------
    instrument_id
        What to trade.
    length
        Bars, at least 1.
    '''

    instrument_id: InstrumentId
    length: int = 3

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length ({{self.length}}) must be at least 1")


class Mine(Strategy):
    pass
"""

type Drop = Callable[..., str]


@pytest.fixture
def drop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Drop]:
    """Give a function that drops a file into the package, as a user would, and forget it afterwards."""
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    dropped: list[str] = []

    def drop(file: str, text: str = SOUND, name: str | None = None, **changes: str) -> str:
        text = text.format(name=name or file, file=file)
        for old, new in changes.values():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / f"{file}.py").write_text(text)
        dropped.append(file)
        return file

    yield drop
    for file in dropped:
        sys.modules.pop(f"strategies.{file}", None)
        vars(strategies).pop(file, None)


def only_broken() -> BrokenStrategy:
    """Return the one broken strategy; those of the project are there all the same."""
    found, (broken,) = survey()
    assert "ote" in found
    return broken


def test_a_new_file_is_a_new_strategy(drop: Drop, tmp_path: Path) -> None:
    """Modules without SPEC are passed over, and so are packages."""
    drop("mine_made_up")
    (tmp_path / "helper_made_up.py").write_text("LENGTH = 3\n")
    (tmp_path / "package_made_up").mkdir()
    (tmp_path / "package_made_up" / "__init__.py").write_text("SPEC = 1\n")
    found, broken = survey()
    assert found["mine_made_up"].config_class()(instrument_id=None).length == 3
    assert broken == ()
    assert [one["name"] for one in parameters(found["mine_made_up"])] == ["instrument_id", "length"]
    sys.modules.pop("strategies.helper_made_up")


BREAKS: dict[str, tuple[tuple[str, str], str]] = {
    "default out of range": (
        ("length: int = 3", "length: int = 0"),
        "broken config: ValidationError: length (0) must be at least 1",
    ),
    "default of another type": (
        ("    length: int = 3", "    length: int = 3\n    other: 'NoSuchType' = 1"),
        "broken config: NameError: name 'NoSuchType' is not defined",
    ),
    "class that is not there": (
        (":MineConfig", ":YourConfig"),
        "broken config: AttributeError: module 'strategies.broken_made_up' has no attribute 'YourConfig'",
    ),
    "config of another kind": (
        ("(StrategyConfig, frozen=True, kw_only=True)", ""),
        "SPEC.config_path strategies.broken_made_up:MineConfig is no Nautilus StrategyConfig",
    ),
    "missing docs": (
        ("    length\n        Bars, at least 1.\n", ""),
        "missing docs: MineConfig says nothing under Parameters of length",
    ),
    "no docs at all": (
        ("Parameters\n    ----------", "Nothing\n    -------"),
        "missing docs: MineConfig says nothing under Parameters of instrument_id, length",
    ),
    "no summary": (("Made up.", ""), "SPEC.summary is '', want a text"),
    "no strategy": (("class Mine(Strategy)", "class Mine"), "is no Nautilus Strategy"),
    "copied": (
        ('strategies.broken_made_up:Mine"', 'strategies.ote:OteStrategy"'),
        "SPEC.strategy_path strategies.ote:OteStrategy is not in strategies.broken_made_up",
    ),
    "another SPEC": (("SPEC = Strat", "SPEC = 'none'; Strat"), "SPEC is of type str, not a StrategySpec"),
    "import error": (
        ("class Mine(", "import no_such_module\n\nclass Mine("),
        "cannot be imported: ModuleNotFoundError: No module named 'no_such_module' (broken_made_up.py line ",
    ),
    "syntax error": (("class Mine(", "class class Mine("), "cannot be imported: SyntaxError"),
    "an exit": (("class Mine(", "raise SystemExit(3)\nclass Mine("), "cannot be imported: SystemExit: 3"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_strategy_is_named_and_the_others_work(drop: Drop, case: str) -> None:
    """With the reason, on one line."""
    change, reason = BREAKS[case]
    drop("broken_made_up", change=change)
    broken = only_broken()
    assert broken.name == "broken_made_up"
    assert broken.module == "strategies.broken_made_up"
    assert reason in broken.reason
    assert "\n" not in broken.reason


def test_a_name_belongs_to_the_file_of_that_name(drop: Drop) -> None:
    """Whichever file comes first in the folder; the other one is reported under the name it claims."""
    drop("aaa_made_up", name="ote")
    broken = only_broken()
    assert (broken.name, broken.module) == ("ote", "strategies.aaa_made_up")
    assert broken.reason == "duplicate name: ote belongs to ote.py, rename the one in aaa_made_up.py"
    assert discover()["ote"].strategy_path == "strategies.ote:OteStrategy"


def test_a_name_that_two_other_files_claim_belongs_to_none(drop: Drop) -> None:
    """Each of them says which the other is."""
    drop("first_made_up", name="twin")
    drop("second_made_up", name="twin")
    found, broken = survey()
    assert "twin" not in found
    assert "ote" in found
    assert [one.reason for one in broken] == [
        "duplicate name: twin is also claimed by second_made_up.py, rename one of them",
        "duplicate name: twin is also claimed by first_made_up.py, rename one of them",
    ]


@pytest.mark.parametrize("name", ["breakout", "confluence", "example", "ote"])
def test_bounds_are_those_that_the_config_refuses_beyond(name: str) -> None:
    """The refusal names the field; a default is never beyond."""
    spec = discover()[name]
    config = spec.config_class()
    instruments = {"instrument_ids": ["XRPUSDT.BINANCE"]} if name == "confluence" else {}
    own = instruments or {"instrument_id": "XRPUSDT.BINANCE"}
    listed = parameters(spec)
    bounded = [(one, bound) for one in listed for bound in ("min", "max") if one.get(bound) is not None]
    assert len(bounded) > 20
    for one, bound in bounded:
        assert one["min"] <= one["default"] <= one.get("max", math.inf)
        step = 1 if one["type"] == "int" else 1e-5
        beyond = one[bound] + (step if bound == "max" else -step) * max(1, abs(one[bound]))
        with pytest.raises(ValueError, match=one["name"]):
            config.parse(msgspec.json.encode({**own, one["name"]: beyond}))


def test_the_list_goes_on_without_a_broken_strategy(drop: Drop, capsys: pytest.CaptureFixture[str]) -> None:
    """In words on stderr and in the list, and as a field of the JSON; the command is done all the same."""
    drop("broken_made_up", change=("length: int = 3", "length: int = 0"))
    drop("sound_made_up")
    assert backtest_node.main(["strategies"]) == 0
    captured = capsys.readouterr()
    reason = "cannot run: strategies.broken_made_up: broken config: ValidationError: length (0) must be"
    assert captured.err.startswith(f"warning: strategy broken_made_up {reason}")
    assert f"broken_made_up: {reason}" in captured.out
    assert "sound_made_up 1: Made up.\n  length (int) = 3\n      Bars, at least 1.\n" in captured.out

    assert backtest_node.main(["strategies", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert "length (0) must be at least 1" in listed["broken_made_up"]["error"]
    assert listed["broken_made_up"]["parameters"] == []
    assert listed["sound_made_up"]["error"] is None
    assert listed["ote"]["error"] is None
    length = {"name": "length", "type": "int", "default": 3, "doc": "Bars, at least 1."}
    assert listed["sound_made_up"]["parameters"] == [length]


def test_running_a_broken_strategy_is_refused(
    drop: Drop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, with the reason on one line."""
    drop("broken_made_up", change=("    length\n        Bars, at least 1.\n", ""))
    code = backtest_node.main(["run", "--strategy", "broken_made_up", "--catalog", str(tmp_path)])
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "broken_made_up cannot run: strategies.broken_made_up: missing docs: MineConfig" in captured.err


def test_docstrings_without_parameters_document_nothing() -> None:
    """No section, no entries; a later section ends the first."""
    assert documented_parameters("Only a summary.") == {}
    text = """Summary.

    Parameters
    ----------
    a : int
        First
        lines.

    Returns
    -------
    int
        Not a parameter.
    """
    assert documented_parameters(text) == {"a": "First lines."}


def test_types_read_as_one_would_write_them() -> None:
    """Unions, literals and aliases of them."""
    assert type_name(int | None) == "int | None"
    assert type_name(typing.Literal["a", "b"]) == "'a' | 'b'"
    assert type_name(SideKind) == "'both' | 'long' | 'short'"
