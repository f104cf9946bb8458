"""The public docstrings of kernels say what the signature cannot: shapes, units, source."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("indicators/kernels", "packet_builder/kernels", "ml/kernels")
SAYS = {
    "shape": re.compile(r"\bshape\b|\bscalar", re.IGNORECASE),
    "unit": re.compile(
        r"\bprices?\b|\bticks?\b|\blots?\b|\bunits?\b|\bns\b|\bbars\b|\bATRs?\b|\bratios?\b|\bseq\b|"
        r"\bnumber of\b|\b0\.\.1|\bcounted\b|\bcodes?\b|-1",
        re.IGNORECASE,
    ),
    "source": re.compile(r"^References$", re.MULTILINE),
}
WANTED = 0.9


def public_docstrings() -> dict[str, str]:
    """Return the docstring of every public kernel function; ``jit.py`` compiles and computes nothing."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("*.py")):
            for node in ast.parse(path.read_text()).body:
                is_public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
                if is_public and path.name not in ("jit.py", "address.py"):
                    assert isinstance(node, ast.FunctionDef)
                    found[f"{folder}/{path.name}:{node.name}"] = ast.get_docstring(node) or ""
    return found


def test_nine_of_ten_say_shape_unit_and_source() -> None:
    """Counted for each of the three; a failure lists who says nothing."""
    docstrings = public_docstrings()
    assert len(docstrings) > 20
    for what, pattern in SAYS.items():
        silent = [name for name, text in docstrings.items() if not pattern.search(text)]
        assert len(silent) <= (1 - WANTED) * len(docstrings), f"no {what}: {silent}"
