"""Strategies are found by their files and documented field by field."""

import sys
import typing
from pathlib import Path

import pytest

import strategies
from strategies.registry import discover, documented_parameters, parameters, type_name
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
        assert set(documented_parameters(spec.config_class().__doc__ or "")) == own


def test_two_strategies_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second file says whose name it took."""
    for name in ("first", "second"):
        (tmp_path / f"{name}_made_up.py").write_text(
            "from strategies.registry import StrategySpec\n"
            "SPEC = StrategySpec('twin', '1', 'A twin.', 'a:A', 'a:B')\n"
        )
    monkeypatch.setattr(strategies, "__path__", [str(tmp_path)])
    with pytest.raises(ValueError, match="second_made_up: another strategy is named 'twin' already"):
        discover()
    for name in ("first", "second"):
        sys.modules.pop(f"strategies.{name}_made_up", None)


def test_a_new_file_is_a_new_strategy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Modules without SPEC are passed over, and so are packages."""
    (tmp_path / "mine.py").write_text(
        "from strategies.registry import StrategySpec\n"
        "SPEC = StrategySpec('mine', '1', 'Mine.', 'strategies.mine:A', 'strategies.mine:B')\n"
    )
    (tmp_path / "helper_of_mine.py").write_text("SPEC = 'not a strategy'\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    monkeypatch.setattr(strategies, "__path__", [str(tmp_path)])
    assert list(discover()) == ["mine"]
    for name in ("mine", "helper_of_mine"):
        sys.modules.pop(f"strategies.{name}", None)


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
