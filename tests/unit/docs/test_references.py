"""Every file that a docstring, a comment, a message or a page names exists.

Not here: links between pages, which the site's strict build resolves, or the code blocks of pages.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from serving_assets.settings import PROJECT

FILE = re.compile(r"(?<![\w./<>*{}$~-])(?:[\w.-]+/)*[\w.-]+\.(?:py|md|sql)\b(?![\w/*])")
FOLDER = re.compile(r"(?<=[(\s`,])(?![A-Z_]+/)(?:[\w.-]+/)+(?=[)\s`,.;:]|$)")
ANCHORED = re.compile(r"(?<![\w./<>-])(?:docs|serving_assets|tests|benchmarks|drill|scripts)/[\w./-]*\.\w+")
"""In strings of the code only what begins with a folder of the repository and names a file: tags have slashes too."""
OF_A_DECLARATION = {"use_case.py", "domain.py", "features.sql", "labels.sql", "train.py", "RUNBOOK.md"}
"""What each folder of the catalog holds, under the same name."""
OF_THE_READER = {"baskets.sql", "data/", "landing/", "docs/runbooks/sound.md"}
"""What stands in a workspace, in a declaration of the reader's, or in a test's own alert."""


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks and that exists."""
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True, text=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := PROJECT / name).is_file())


@cache
def names() -> frozenset[str]:
    """The tracked files and their folders, relative to the repository."""
    files = {path.relative_to(PROJECT) for path in tracked()}
    return frozenset(str(path) for file in files for path in (file, *file.parents))


def texts(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Line, text, and whether it is prose: docstrings and comments are, other strings of the code are not."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from ((number, line, True) for number, line in enumerate(source.splitlines(), 1))
        return
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value, id(node) in prose
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, True


def exists(name: str, path: Path) -> bool:
    """Whether `name`, written in `path`, is a file or folder beside it, above it, or from the repository on."""
    wanted = name.rstrip("/")
    if wanted in OF_A_DECLARATION or name in OF_THE_READER:
        return True
    folders = [Path("serving_assets"), *path.relative_to(PROJECT).parents]
    return any(os.path.normpath(folder / wanted) in names() for folder in folders)


def missing(path: Path) -> list[str]:
    """The references of a file that lead nowhere."""
    found = []
    for line, text, is_prose in texts(path):
        named = {*FILE.findall(text), *FOLDER.findall(text)} if is_prose else set(ANCHORED.findall(text))
        found += [f"{path.relative_to(PROJECT)}:{line}: {name}" for name in sorted(named) if not exists(name, path)]
    return found


def test_every_file_that_is_named_exists() -> None:
    """A path in a docstring, comment, message or page leads to a file; the changelog also names those of before."""
    paths = [path for path in tracked() if path.suffix in (".py", ".md") and path.name != "CHANGELOG.md"]
    assert [lead for path in paths for lead in missing(path)] == []
