"""How a process of ours starts another one of our modules, wherever it was started itself.

``python -m`` looks in the working directory first: from another folder than the checkout our modules are not
found there, or a stranger's of the same name are.
"""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


def module_command(module: str) -> list[str]:
    """Return the beginning of a command that runs a module of ours; it needs `module_environment`.

    Examples
    --------
    >>> module_command("runtime.journal")[1:]
    ['-P', '-m', 'runtime.journal']
    """
    return [sys.executable, "-P", "-m", module]


def module_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return variables with which Python finds our modules where this process has them.

    Parameters
    ----------
    environment
        Of the process to be; None takes that of this one. An installed wheel is found without.
    """
    found = dict(os.environ if environment is None else environment)
    if Path(sysconfig.get_path("purelib")) != ROOT:  # in front of the standard library it would be in its way
        others = [one for one in (found.get("PYTHONPATH", "").split(os.pathsep)) if one and one != str(ROOT)]
        found["PYTHONPATH"] = os.pathsep.join([str(ROOT), *others])
    return found


__all__ = ["module_command", "module_environment"]
