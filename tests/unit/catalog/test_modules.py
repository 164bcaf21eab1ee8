"""Rules of a catalog's Python files: they import the files beside them, and those of no other folder.

Not here: what is expected in a file (test_discovery.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from serving_assets.catalog.modules import PREFIX, load_module
from serving_assets.errors import DeclarationError

USES = """
import json
import shapes
from . import factors
from .shapes import twice
from shapes import twice as again

FOUND = shapes.twice(factors.BASE), twice(1), again(2), json.dumps({}), shapes.factors.BASE


def later():
    import late

    return late.VALUE
"""


def write(folder: Path, base: int, **more: str) -> Path:
    """A folder whose `train.py` uses three modules beside it."""
    files = {
        "train": USES,
        "shapes": "import factors\n\n\ndef twice(n):\n    return 2 * n\n",
        "factors": f"BASE = {base}\n",
        "late": "VALUE = 'late'\n",
        **more,
    }
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / "train.py"


def test_a_file_imports_the_files_beside_it(tmp_path: Path) -> None:
    """By name or relatively, at the top or later, each folder its own; nothing but private names is left behind."""
    known = set(sys.modules)
    one, two = load_module(write(tmp_path / "one", 1)), load_module(write(tmp_path / "two", 10))
    assert (one.FOUND, two.FOUND) == ((2, 2, 4, "{}", 1), (20, 2, 4, "{}", 10))
    assert (one.later(), two.later()) == ("late", "late")
    left = {name for name in set(sys.modules) - known if not name.startswith(PREFIX)}
    assert not left & {"shapes", "factors", "late", "train"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import nowhere_to_be_found",
            r"factors\.py:1: fails when loaded: ModuleNotFoundError: No module named 'nowhere",
        ),
        ("BASE = 1 / 0", r"factors\.py:1: fails when loaded: ZeroDivisionError"),
        ("BASE = (", r"factors\.py:1: fails when loaded: SyntaxError"),
    ],
)
def test_a_broken_neighbour_is_named(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file that is wrong, and is the same when it is tried again."""
    path = write(tmp_path / "one", 1, factors=text)
    for _ in range(2):
        with pytest.raises(DeclarationError, match=message):
            load_module(path)
