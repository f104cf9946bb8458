"""Where the commands write: checked before hours of work, written whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path

from runtime.errors import ConfigurationError, OperatorError


def require_folder(path: Path, option: str) -> None:
    """Refuse a folder that cannot be made or written to.

    Raises
    ------
    ConfigurationError
        Naming the option and what stands in the way.
    """
    existing = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not existing.is_dir():
        raise ConfigurationError(f"{option} {path}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{option} {path}: {existing} is not writable")


def require_file(path: Path, option: str) -> None:
    """Refuse a file that cannot be written.

    Raises
    ------
    ConfigurationError
        Naming the option and what stands in the way.
    """
    if path.is_dir():
        raise ConfigurationError(f"{option} {path} is a folder: name a file in it")
    if path.exists() and not path.is_file():  # it would be replaced: a device must not be
        raise ConfigurationError(f"{option} {path} is no regular file: name another one")
    require_folder(path.parent, option)


def write_all(folder: Path, contents: Mapping[str, bytes], *, last: str | None = None) -> None:
    """Write files into a folder, which is made; where one cannot be written, the old ones stay as they were.

    Parameters
    ----------
    folder
        Receives them.
    contents
        By name.
    last
        A file without which the others count for nothing: gone while they change, and back at the end.

    Raises
    ------
    OperatorError
        When the disk is full or refuses.
    """
    unfinished = {name: folder / f".{name}.{os.getpid()}" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            unfinished[name].write_bytes(content)
        if last is not None:
            (folder / last).unlink(missing_ok=True)
        for name in sorted(contents, key=lambda one: one == last):
            unfinished[name].replace(folder / name)
    except OSError as error:
        raise OperatorError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        for path in unfinished.values():
            if folder.is_dir():
                path.unlink(missing_ok=True)
