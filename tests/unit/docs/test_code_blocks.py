"""Every code block of every page is executed or parsed: what a reader copies works.

Not here: what a command does (tests/e2e/), or whether the API answers as shown (tests/serving/test_docs.py).
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml

from serving_assets.alerts.config import VARIABLE, read_config
from serving_assets.catalog import checks, columns, compute, serve, spec, timing
from serving_assets.catalog.discovery import load_catalog
from serving_assets.catalog.read_only_sql import refuse_unless_read_only
from serving_assets.settings import PROJECT
from tests.catalogs import FIXTURE_CATALOG
from tests.unit.docs.blocks import Block, blocks, pages, prose
from tests.unit.docs.shell import commands, every, names_of, wrong_with

LANGUAGES = {"python", "yaml", "toml", "json", "sql", "sh", "nginx", "text"}
WORDS_OF_A_DECLARATION = {
    name: value
    for module in (columns, checks, compute, serve, timing, spec)
    for name, value in vars(module).items()
    if not name.startswith("_")
}


def test_every_block_names_its_language() -> None:
    """A block says what it is, so that it is coloured and tested; what is no code is text."""
    assert [f"{block}: {block.language or 'none'}" for block in blocks() if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_runs_or_validates(block: Block) -> None:
    """A declaration is built by the catalog's own words; a field alone is one of a use case; a program compiles."""
    tree = ast.parse(block.text)
    compile(tree, str(block), "exec")
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        for name in [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]:
            importlib.import_module(str(name))
    if imports:
        return
    namespace: dict[str, Any] = {}
    exec(compile(tree, str(block), "exec"), {**WORDS_OF_A_DECLARATION}, namespace)
    declared = dict(load_catalog(FIXTURE_CATALOG).use_case("purchase_propensity").spec)
    fields = {name: value for name, value in namespace.items() if name.islower()}
    assert set(fields) <= set(spec.UseCase.model_fields)
    assert spec.UseCase.model_validate({**declared, **fields})


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_parses(block: Block) -> None:
    """A block of JSON is one document."""
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("yaml", "toml"), ids=str)
def test_configuration_parses(block: Block, tmp_path: Path) -> None:
    """A configuration parses; one of alerts is accepted by its reader, with a value for each variable it names."""
    found = tomllib.loads(block.text) if block.language == "toml" else yaml.safe_load(block.text)
    if "channels" in found:
        file = tmp_path / "alerts.yaml"
        file.write_text(block.text)
        assert read_config(file, {name: f"{name.lower()}-0123456789" for name in VARIABLE.findall(block.text)})


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_sql_parses(block: Block) -> None:
    """A block of SQL is DuckDB's."""
    assert sqlglot.parse(block.text, read="duckdb")


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands_exist(block: Block) -> None:
    """Every command of a block exists with these options, every target and every file too."""
    assert [told for words in commands(block.text) if (told := wrong_with(words))] == []


def test_sql_of_commands_is_accepted() -> None:
    """Every query that a page gives to `rows` is one that `rows` runs."""
    queries = [sql for block in blocks("sh") for sql in re.findall(r'--sql "([^"]*)"', block.text)]
    assert queries
    for sql in queries:
        refuse_unless_read_only(sql.replace("$DAY", "2026-11-21"), "t")


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_commands_named_in_prose_exist(path: Path) -> None:
    """A command or a target between backticks exists, with the options that are named."""
    assert list(names_of(prose(path))) == []


def test_commands_named_in_messages_exist() -> None:
    """Every `serving-assets <command>` in an error, a hint, an alert or a docstring is a command."""
    unknown = []
    for path in sorted((PROJECT / "serving_assets").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            named = re.findall(r"serving-assets ([a-z][a-z-]*)", text)
            unknown += [f"{path.relative_to(PROJECT)}:{node.lineno}: {name}" for name in named if name not in every()]
    assert unknown == []


@pytest.mark.parametrize(
    "line",
    [
        "serving-assets no-such-command",
        "serving-assets backfill --from $DAY --no-such-option $DAY",
        "serving-assets status | serving-assets backfill --from yesterday --to $DAY",
        "serving-assets alerts ack",
        "make no-such-target",
        ".venv/bin/no-such-program",
        "ls serving_assets/no_such_folder",
        "no-such-program",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    """A command, an option, a value, an argument, a target, a program or a file that does not exist is found."""
    assert [told for words in commands(line) if (told := wrong_with(words))]


@pytest.mark.parametrize(
    "text", ["`serving-assets no-such-command x`", "`serving-assets status --no`", "`make no-such`"]
)
def test_a_wrong_command_in_prose_is_found(text: str) -> None:
    """A command, an option or a target between backticks that does not exist is found."""
    assert list(names_of(text))
