"""MkDocs hooks: pages that are not in docs/, and links between all of them.

Here: where a file of the repository stands on the site; the pages generated from the settings and the command. Not
here: the navigation and the theme (mkdocs.yml), or the declarations' reference, which mkdocstrings generates.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import typer.cli
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic.fields import FieldInfo

from serving_assets.cli import app
from serving_assets.settings import PROJECT, Settings

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
FROM_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
USE_CASES = "serving_assets/catalog/use_cases"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace each folder of the navigation, written with a slash at its end, by its pages, the index first."""
    config.nav = [_expanded(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, and the generated ones."""
    for path in (path for path in _pages() if not path.startswith("docs/")):
        files.append(File.generated(config, _address(path), abs_src_path=str(PROJECT / path)))
    files.append(File.generated(config, "reference/settings.md", content=settings_page()))
    files.append(File.generated(config, "reference/cli.md", content=cli_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    source = page.file.abs_src_path
    if source is None:
        return markdown
    folder, here = Path(source).parent, Path(page.file.src_uri).parent

    def linked(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[1]))
        if not target.is_relative_to(PROJECT):
            return found[1]
        return os.path.relpath(_address(target.relative_to(PROJECT).as_posix()), here)

    return LINK.sub(linked, markdown)


def settings_page() -> str:
    """A table of every setting: its variable, default and meaning."""
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    head = ["# Settings", "", _unwrapped(Settings.__doc__), "", "| variable | default | meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def cli_page() -> str:
    """The page of the command line: every command with its arguments and options, by typer's own generator."""
    command = typer.main.get_command(app)
    context = typer.Context(command, obj={typer.cli.MARKUP_MODE_KEY: "rich"})
    return typer.cli.get_docs_for_click(obj=command, ctx=context, name="serving-assets", title="Command line")


def _address(path: str) -> str:
    """Where a file of the repository stands on the site; unchanged where it does not stand there."""
    if path in FROM_ROOT:
        return FROM_ROOT[path]
    if path.startswith(f"{USE_CASES}/"):
        return f"use_cases/{Path(path).parent.name}.md"
    return path.removeprefix("docs/")


def _pages() -> list[str]:
    """Every file of the repository that is a page."""
    patterns = ("docs/**/*.md", "benchmarks/*.md", f"{USE_CASES}/*/RUNBOOK.md")
    return [*FROM_ROOT, *(path for pattern in patterns for path in _found(pattern))]


def _expanded(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(below) for title, below in entry.items()}
    if isinstance(entry, list):
        return [_expanded(below) for below in entry]
    if not entry.endswith("/"):
        return entry
    inside = [address for path in _pages() if (address := _address(path)).startswith(entry)]
    return sorted(inside, key=lambda address: (not address.endswith("/README.md"), address))


def _found(pattern: str) -> list[str]:
    return sorted(path.relative_to(PROJECT).as_posix() for path in PROJECT.glob(pattern))


def _default(field: FieldInfo) -> str:
    """A default as a reader writes it; none where it depends on the machine or on other settings."""
    if field.default_factory is not None:
        return "by the machine"
    value: Any = field.default
    if hasattr(value, "get_secret_value") or value in ("", None):
        return ""
    return f"`{value.relative_to(PROJECT)}`" if isinstance(value, Path) else f"`{value}`"


def _unwrapped(text: str | None) -> str:
    return re.sub(r"\n +", "\n", text or "")
