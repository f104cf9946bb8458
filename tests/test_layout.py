"""The repository keeps the promises that no single module can keep."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOP_LEVEL = [
    name.removesuffix(".py") for name in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
]


def tracked_files() -> list[Path]:
    """List what git tracks; outside a checkout there is nothing to check."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name]


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_top_level_name_is_ours(name: str) -> None:
    """Each top-level module resolves inside the repository and shadows no standard module."""
    assert name not in sys.stdlib_module_names
    module = importlib.import_module(name)
    locations = [module.__file__] if module.__file__ else list(module.__path__)
    assert all(Path(location).is_relative_to(ROOT) for location in locations)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_has_hashes_and_no_address(name: str) -> None:
    """Every locked package carries hashes; no index is named."""
    text = (ROOT / name).read_text()
    assert "://" not in text
    requirements = re.findall(r"^[a-z0-9][^\s=]*==[^\s]+.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(requirements) > 20
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_run_lock_is_part_of_dev_lock() -> None:
    """Developers and users run the same versions."""
    pins = [
        set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    ]
    assert pins[0] <= pins[1]


def test_no_file_names_a_registry_or_a_private_path() -> None:
    """No tracked text file names a package registry's host or a path of some machine."""
    # Put together here, so that this file is no exception.
    hosts = [".".join(parts) for parts in (("pypi", "org"), ("registry", "npmjs"), ("deb", "debian"))]
    folders = [f"/{name}/" for name in ("work", "root", "home", "Users")]
    forbidden = re.compile("|".join(map(re.escape, [*hosts, "python" + "hosted", *folders])).encode())
    offenders = [
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.is_file() and forbidden.search(path.read_bytes())
    ]
    assert offenders == []


def test_readme_commands_are_make_targets() -> None:
    """Each `make x` of README, CONTRIBUTING and .ci/run exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        used = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / name).read_text()))
        assert used <= targets, name


def test_documentation_links_resolve() -> None:
    """Every relative link of the Markdown files points at a file."""
    for path in tracked_files():
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
