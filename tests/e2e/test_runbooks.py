"""The commands of the runbooks work at night: in a clean shell, set up by the line that the alert carries.

Not here: the pages' form (tests/pipeline/test_runbooks.py), or each command's own rules.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.config import AlertConfig
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.lifecycle import opened
from serving_assets.alerts.records import ALL, Days, Finding, Incident, Key, Severity
from serving_assets.alerts.shell import Shell, this_shell, values_of
from serving_assets.pipeline.dagster_instance.asset_graph import AssetGraph
from serving_assets.pipeline.observing.finding_builder import FIRST_STEPS, OF_A_STEP, PLATFORM
from serving_assets.pipeline.observing.runbooks import OF_DECISIONS, OF_THE_STATUS, STORE_LOST
from serving_assets.settings import PROJECT
from tests.pipeline.slice import DAY, NAME, Bench
from tests.unit.docs.blocks import Block, blocks

pytestmark = [pytest.mark.timeout(2400), pytest.mark.long]

NOT_HERE = ("make ", "serving-assets train", "serving-assets retire $USE_CASE --yes")
"""A server, a training that the slice has too few days for, and the end of what all others need."""
REPORTS_BY_EXIT_CODE = ("serving-assets status", "serving-assets alerts", "serving-assets show")
UNTRAINED, DONE = "basket_propensity has no champion", f"{NAME}: 3 of 3 runs succeeded"
FIRST, LAST = ("serving-assets backfill",), ("serving-assets alerts resolve",)
OF_NO_ASSET = {
    "declaration_broken": "churn/declaration",
    "tick_failed": "schedules/x",
    "delivery_failed": "channels/x",
    "configuration_broken": "alerts.yaml",
}


@dataclass(frozen=True)
class Step:
    """One command of a page, with what the page exports before it, for an incident of one asset."""

    page: str
    incident: Incident
    exports: tuple[str, ...]
    command: str

    @property
    def text(self) -> str:
        """The command with its values filled in: two steps with the same text are one."""
        values = {**values_of(self.incident), **dict(shlex.split(line)[1].split("=", 1) for line in self.exports)}
        filled = re.sub(r"\$\{?([A-Z_]+)\}?", lambda found: values.get(found[1], found[0]), self.command)
        return re.sub(r'--reason "[^"]*"', '--reason "why"', filled)


def incidents(bench: Bench) -> dict[str, list[Incident]]:
    """By page, what it may be about: an asset of each layer that has the check, or of the kinds of failure."""
    now, graph = datetime.now(UTC), bench.defs.resolve_asset_graph()
    assets = {(key.name, key.asset_key.path[0], key.asset_key.to_user_string()) for key in _checks_of_days(graph)}
    usual = {("raw", "raw/transactions"), ("mapped", "mapped/baskets"), (NAME, f"{NAME}/online")}
    assets |= {(kind, *asset) for kind in (*OF_A_STEP, "freshness") for asset in usual}
    assets |= {
        (kind, PLATFORM, OF_NO_ASSET.get(kind, f"jobs/{NAME}_daily")) for kind in FIRST_STEPS if kind != STORE_LOST
    }
    assets |= {(page, NAME, f"{NAME}/online") for page in (*OF_THE_STATUS, *OF_DECISIONS)}
    scopes = ("raw", "mapped", NAME, PLATFORM)
    chosen = {(kind, scope): asset for kind, scope, asset in sorted(assets) if scope in scopes}
    found: dict[str, list[Incident]] = {}
    for (kind, scope), asset in chosen.items():
        key = Key("shop" if scope in ("raw", "mapped") else scope, asset, kind)
        days = Days(str(DAY), str(DAY)) if scope != PLATFORM else ALL
        finding = Finding(key, Severity.ERROR, now, days, newest_day=str(DAY))
        found.setdefault(kind, []).append(opened(finding, 1, "abc-1"))
    return found


def steps(bench: Bench, entity: str) -> list[Step]:
    """Every distinct command of every page; backfills first, because a rollback needs what they leave."""
    found: dict[str, Step] = {}
    of_pages = incidents(bench)
    for page in sorted((PROJECT / "docs" / "runbooks").glob("*.md")):
        for incident in of_pages.get(page.stem, []):
            for step in _steps(page, incident, entity):
                found.setdefault(step.text, step)
    return sorted(found.values(), key=lambda step: (not step.command.startswith(FIRST), step.command.startswith(LAST)))


@pytest.fixture
def shell(bench: Bench) -> Shell:
    """The shell that an alert of the workspace carries; the workspace has an open incident and two generations."""
    bench.rewrite(f"{NAME}/historic", "SELECT * REPLACE (score * 0.99 AS score) FROM t", {"scored_for": DAY})
    assert bench.publish().success
    failing = Finding(Key(NAME, f"{NAME}/features", "feature_drift"), Severity.WARN, datetime.now(UTC))
    IncidentStore(AlertsFile(bench.settings.alerts_file)).observe([failing], AlertConfig().rules(), datetime.now(UTC))
    home = bench.root / "dagster"
    if not (home / "dagster.yaml").exists():
        shutil.copy(PROJECT / "dagster_home" / "dagster.yaml", home)
    return this_shell(bench.settings, {"DAGSTER_HOME": str(home)})


def test_every_command_works_in_a_clean_shell(shell: Shell, bench: Bench) -> None:
    """After the alert's line, each command of each page ends as the page says: done, or reporting what is wrong."""
    entity = str(bench.rows("latest", "household_id")[0]["household_id"])
    wrong = [failure for step in steps(bench, entity) if (failure := _failure(step, shell))]
    assert wrong == [], "\n\n".join(wrong)
    control = bench.platform.store.control(NAME)
    assert control is not None
    assert control.pinned is None, "the pages that roll back also resume"


def test_every_page_is_tried(bench: Bench) -> None:
    """An incident exists for each page but the index, so no page's commands are left out."""
    pages = {page.stem for page in (PROJECT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == set(incidents(bench))


def _checks_of_days(graph: AssetGraph) -> list[dg.AssetCheckKey]:
    """The checks of all assets but of tables without days."""
    return [
        key
        for key in graph.asset_check_keys
        if key.asset_key.path[0] not in ("raw", "mapped") or graph.get(key.asset_key).is_partitioned
    ]


def _steps(page: Path, incident: Incident, entity: str) -> list[Step]:
    exports: list[str] = []
    found = []
    of_the_page: list[Block] = [block for block in blocks("sh") if block.path == page][1:]  # the first is for no alert
    for line in (line for block in of_the_page for line in block.text.splitlines()):
        if line.startswith("export "):
            exports.append(re.sub(r"ENTITY=\S+", f"ENTITY={entity}", line))
        elif not line.startswith(NOT_HERE):
            found.append(Step(page.stem, incident, tuple(exports), line))
    return found


def _failure(step: Step, shell: Shell) -> str:
    """What a command reported if it failed."""
    program = shlex.split(step.command)[0]
    if program != "serving-assets" and shutil.which(program) is None:
        return ""  # a small container has no tool to look at memory or processes
    script = "\n".join([shell.of(step.incident), *step.exports, step.command])
    clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "COLUMNS": "200"}
    done = subprocess.run(["bash", "-uc", script], env=clean, cwd="/", capture_output=True, text=True, timeout=300)
    reports = step.command.startswith(REPORTS_BY_EXIT_CODE) and done.returncode == 1
    if done.returncode == 0 or (reports and not re.search(r"^Error ", done.stderr, flags=re.M)):
        return ""
    if step.command.startswith("serving-assets backfill") and UNTRAINED in done.stdout and DONE in done.stdout:
        return ""  # of all use cases, and the slice has trained one of the two
    return f"{step.page}, {step.incident.key}: {step.text}\n{done.returncode}: {done.stdout}{done.stderr}"
