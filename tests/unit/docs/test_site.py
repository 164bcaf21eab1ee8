"""The documentation builds as one site, strictly, from the code as it is.

Not here: the code blocks of its pages (test_code_blocks.py), or files named without a link (test_references.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from serving_assets.catalog import checks, spec
from serving_assets.catalog.columns import Spec
from serving_assets.cli import app
from serving_assets.settings import PROJECT, Settings
from tests.unit.docs.blocks import pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=PROJECT, env=quiet, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_on_the_site(site: Path) -> None:
    """Each page of the repository is built, and each is in the navigation, which the strict build demands."""
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert len(built - {Path("404.html")}) == len(pages()) + len(["settings", "cli"])


def test_a_reader_needs_no_other_server(site: Path) -> None:
    """Scripts, styles, fonts and images come from the site itself."""
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\bsrc=\"?https?:[^>]*>|<link[^>]*stylesheet[^>]*https?:[^>]*>"
    )
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert [f"{path}: {found}" for path, text in texts.items() for found in loads.findall(text)] == []
    styles = (path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not any(re.search(r"url\(['\"]?https?:", style) for style in styles)


def test_the_reference_is_complete(site: Path) -> None:
    """Every setting, every command and every field of a use case and its thresholds stands in the reference."""
    settings, command_line, declarations = (
        (site / "reference" / f"{name}.html").read_text(encoding="utf-8")
        for name in ("settings", "cli", "declarations")
    )
    assert [name for name in Settings.model_fields if f"<code>{name.upper()}</code>" not in settings] == []
    assert [name for name in _commands(typer.main.get_command(app)) if f"<code>{name}</code>" not in command_line] == []
    classes = [each.__name__ for each in Spec.__subclasses__() if each.__module__.startswith("serving_assets.catalog.")]
    assert [name for name in classes if f'{name}" class="doc doc-heading"' not in declarations] == []
    fields = [*spec.UseCase.model_fields, *spec.Source.model_fields, *checks.Checks.model_fields]
    assert [name for name in fields if f"<code>{name}</code>" not in declarations] == []


def _commands(command: object, prefix: str = "serving-assets") -> list[str]:
    if not isinstance(command, TyperGroup):
        return [prefix]
    return [full for name, below in command.commands.items() for full in _commands(below, f"{prefix} {name}")]
