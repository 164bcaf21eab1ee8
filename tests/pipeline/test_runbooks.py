"""Whoever is called finds a page for it, in the form of all others.

Not here: whether the commands on the pages work (tests/e2e/test_runbooks.py).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.observing.finding_builder import FIRST_STEPS
from serving_assets.pipeline.observing.runbooks import OF_DECISIONS, OF_THE_STATUS
from serving_assets.settings import PROJECT, Settings

PAGES = PROJECT / "docs" / "runbooks"
INDEX = PAGES / "README.md"
SECTIONS = ["What it means", "How bad it is", "Look here", "Do this", "If that fails"]
MOST_WORDS = 330
OF_A_USE_CASE = ["What it is for.", "Who calls it.", "What a wrong prediction costs.", "How to turn it off."]


def pages() -> dict[str, str]:
    """The pages by name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md")) if path != INDEX}


def test_everything_that_calls_somebody_has_a_page(tmp_path: Path) -> None:
    """Each check, each kind of failure and each state that status points to has a page, and no page is left over."""
    graph = build_defs(Settings(data_dir=tmp_path)).resolve_asset_graph()
    checks = {key.name for key in graph.asset_check_keys}
    assert set(pages()) == checks | set(FIRST_STEPS) | set(OF_THE_STATUS) | set(OF_DECISIONS)


@pytest.mark.parametrize("name", pages())
def test_all_pages_have_one_form(name: str) -> None:
    """A page is headed by its name, has the same five parts, none of them empty, and is read in two minutes."""
    text = pages()[name]
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", text, flags=re.M) == SECTIONS
    parts = re.split(r"^## .*$", text, flags=re.M)[1:]
    assert all(part.strip() for part in parts)
    assert len(text.split()) < MOST_WORDS


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_works_alone(path: Path, tmp_path: Path) -> None:
    """A page's first block sets a shell up: it finds the command, and sets every name that the page's others use."""
    text = path.read_text(encoding="utf-8")
    first, *others = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    named = set(re.findall(r"\b([A-Z_]+)=", text))
    assert set(re.findall(r"\$\{?([A-Z_]+)", "".join(others))) <= named
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "DATA_DIR": str(tmp_path)}
    script = f'{first}command -v serving-assets && echo "$DATA_DIR" && test -d "$DAGSTER_HOME"'
    found = subprocess.run(
        ["bash", "-euc", script], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [str(PROJECT / ".venv" / "bin" / "serving-assets"), str(tmp_path)]
    assert path == INDEX or "`Shell` line of the alert" in text


def test_the_index_leads_to_every_page_and_no_link_is_dead() -> None:
    """Every page stands in the index; every link of every page leads to a file."""
    linked = set()
    for path in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+\.md)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8")):
            assert (PAGES / target).is_file(), f"{path.name}: {target}"
            linked |= {Path(target).stem} if path == INDEX else set()
    assert set(pages()) <= linked


@pytest.mark.parametrize("path", sorted(PROJECT.glob("serving_assets/catalog/use_cases/*")), ids=lambda path: path.name)
def test_every_use_case_says_what_is_at_stake(path: Path) -> None:
    """A use case's own page says what it is for, who calls it, what a wrong prediction costs, how to turn it off."""
    if not (path / "use_case.py").is_file():
        pytest.skip("a folder that no version tracks")
    text = (path / "RUNBOOK.md").read_text(encoding="utf-8")
    assert [said for said in OF_A_USE_CASE if f"**{said}**" not in text] == []
