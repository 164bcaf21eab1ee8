"""The tour of the house in docs/architecture.md: six paths through files that exist and are found by the next one.

Not here: other files that pages name (test_references.py).
"""

from __future__ import annotations

import re

import pytest

from serving_assets.settings import PROJECT

PAGE = PROJECT / "docs" / "architecture.md"
QUESTIONS = ("late file", "daily run", "alert", "publishes", "lookup", "erases a person")


def paths() -> dict[str, list[str]]:
    """The files of each path, by its question."""
    section = PAGE.read_text(encoding="utf-8").split("## The tour of the house")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if "→" in line]
    return {row[1].strip(): re.findall(r"`([\w/]+\.py)`", row[2]) for row in rows}


def test_the_tour_answers_every_question() -> None:
    """There is one path for each of the six questions."""
    found = list(paths())
    assert len(found) == len(QUESTIONS)
    assert all(topic in question for topic, question in zip(QUESTIONS, found, strict=True))


@pytest.mark.parametrize("question", paths())
def test_a_path_leads_through_files_that_exist(question: str) -> None:
    """A path has several files, each of them once, and all exist."""
    files = paths()[question]
    assert len(files) >= 5
    assert len(set(files)) == len(files)
    assert [file for file in files if not (PROJECT / "serving_assets" / file).is_file()] == []
