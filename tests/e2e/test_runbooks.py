"""The commands of the runbooks do what the pages promise, each once, in one workspace.

Not here: the pages' form (tests/pipeline/test_runbooks.py), or each command's own rules.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from string import Template

import pytest
from typer.testing import CliRunner

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.config import AlertConfig
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.records import Finding, Key, Severity
from serving_assets.cli import app
from serving_assets.settings import PROJECT, get_settings
from tests.pipeline.slice import DAY, NAME, Bench

pytestmark = pytest.mark.timeout(600)
"""The first test also builds the slice."""

FILES = [*sorted((PROJECT / "docs" / "runbooks").glob("*.md")), *PROJECT.glob("docs/costs.md")]
NOT_HERE = ("make ", "git ", "export PATH", "serving-assets train")
"""Servers, the history of a checkout, a shell's own path, and a training that the slice has too few days for."""
TELL_BY_EXIT_CODE = ("serving-assets status", "serving-assets alerts")
FIRST, LAST = ("export", "serving-assets backfill"), ("serving-assets alerts resolve",)


def commands() -> list[str]:
    """Every distinct command of the pages; backfills first, because a rollback needs what they leave."""
    blocks = [b for path in FILES for b in re.findall(r"^```sh\n(.*?)^```", path.read_text("utf-8"), flags=re.M | re.S)]
    lines = [re.sub(r'--reason "[^"]*"', '--reason "why"', line) for block in blocks for line in block.splitlines()]
    distinct = dict.fromkeys(line for line in lines if not line.startswith(NOT_HERE))
    return sorted(distinct, key=lambda line: (not line.startswith(FIRST), line.startswith(LAST)))


@pytest.fixture
def values(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Generator[dict[str, str]]:
    """The workspace as this process's own: an open incident, two generations, and what stands for the variables."""
    bench.rewrite(f"{NAME}/historic", "SELECT * REPLACE (score * 0.99 AS score) FROM t", {"scored_for": DAY})
    assert bench.publish().success
    monkeypatch.setenv("DATA_DIR", str(bench.settings.data_dir))
    monkeypatch.setenv("DAGSTER_HOME", str(bench.root / "dagster"))
    monkeypatch.setenv("COLUMNS", "200")
    get_settings.cache_clear()
    settings, level = get_settings(), logging.getLogger("dagster").level
    failing = Finding(Key(NAME, f"{NAME}/features", "feature_drift"), Severity.WARN, datetime.now(UTC))
    IncidentStore(AlertsFile(settings.alerts_file)).observe([failing], AlertConfig().rules(), datetime.now(UTC))
    entity = str(bench.rows("latest", "household_id")[0]["household_id"])
    yield {
        "USE_CASE": NAME,
        "TABLE": "transactions",
        "DAY": str(DAY),
        "MONTH": f"{datetime.now(UTC):%Y-%m}",
        "ENTITY": entity,
        "INCIDENT": "1",
        "VERSION": "1",
    }
    get_settings.cache_clear()
    logging.getLogger("dagster").setLevel(level)


@pytest.mark.long
def test_every_command_works(values: dict[str, str], bench: Bench) -> None:
    """Each command of each page, with what the index says to put in, ends as it says: done, or telling what is bad."""
    wrong = [f"{line}\n{told}" for line in commands() if (told := _failure(line, values))]
    assert wrong == [], "\n\n".join(wrong)
    control = bench.platform.store.control(NAME)
    assert control is not None
    assert control.pinned is None, "the pages that roll back also resume"


def test_the_index_names_every_variable() -> None:
    """Whoever follows a page has set all that its commands need."""
    text = (PROJECT / "docs" / "runbooks" / "README.md").read_text("utf-8")
    named = set(re.findall(r"\b([A-Z_]+)=", "\n".join(re.findall(r"^export .*$", text, flags=re.M))))
    used = {name for line in commands() for name in re.findall(r"\$\{?([A-Z_]+)\}?", line)}
    assert used <= named | {"DATA_DIR", "PWD"}


def _failure(line: str, values: dict[str, str]) -> str:
    """What a command said if it failed."""
    if not line.startswith("serving-assets"):
        return _shell_failure(line, values)
    result = CliRunner().invoke(app, shlex.split(Template(line).substitute(values))[1:])
    tells = line.startswith(TELL_BY_EXIT_CODE) and result.exit_code == 1 and "Error " not in result.stderr
    if result.exit_code == 0 or (tells and isinstance(result.exception, SystemExit)):
        return ""
    return f"{result.exit_code}: {result.output}{result.exception!r}"


def _shell_failure(line: str, values: dict[str, str]) -> str:
    if shutil.which(shlex.split(line)[0]) is None and not line.startswith("export"):
        return ""  # a small container has no tool to look at memory or processes
    environment = {**os.environ, **values}
    done = subprocess.run(["bash", "-ec", line], env=environment, cwd=Path.cwd(), capture_output=True, text=True)
    return "" if done.returncode == 0 else f"{done.returncode}: {done.stdout}{done.stderr}"
