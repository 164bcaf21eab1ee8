"""The code blocks of every page that a reader copies from.

Here: which pages there are, and their blocks. Not here: what must hold for a block (test_code_blocks.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving_assets.settings import PROJECT

FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```[ ]*$", flags=re.M | re.S)
PATTERNS = ("*.md", "docs/**/*.md", "benchmarks/*.md", "serving_assets/catalog/use_cases/*/RUNBOOK.md")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language as the page names it, and its lines."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(PROJECT)}:{self.line}"


def pages() -> list[Path]:
    """Every page of the repository."""
    return sorted({path for pattern in PATTERNS for path in PROJECT.glob(pattern)})


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in one of `languages`, or in any."""
    return [block for path in pages() for block in _of(path) if not languages or block.language in languages]


def prose(path: Path) -> str:
    """The text of a page without its blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def _of(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(path, line, found[2], re.sub(rf"^{found[1]}", "", found[3], flags=re.M))
