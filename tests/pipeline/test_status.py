"""The page that on call reads first: what is open, what fails and what hangs, each with where to read what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner, Result

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.config import AlertConfig
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.records import Finding, Key, Severity
from serving_assets.cli import app
from serving_assets.pipeline.observing.finding_builder import PLATFORM
from serving_assets.settings import PROJECT, get_settings
from serving_assets.store.publication import Publication
from tests.pipeline.slice import DAY, NAME, Bench

DOMAIN = "complete_journey"
Status = Callable[[], Result]


@pytest.fixture
def status(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Status]:
    """Types `serving-assets status` in the workspace; lines are not wrapped."""
    monkeypatch.setenv("DATA_DIR", str(bench.settings.data_dir))
    monkeypatch.setenv("DAGSTER_HOME", str(bench.root / "dagster"))
    monkeypatch.setenv("COLUMNS", "400")
    get_settings.cache_clear()
    yield lambda: CliRunner().invoke(app, ["status", NAME])
    get_settings.cache_clear()


def test_what_is_open_comes_first(bench: Bench, status: Status) -> None:
    """Incidents of the use case, of its domain and of the platform, with their runbooks; those of others are not."""
    before = status().output.splitlines()
    assert "alerts begin when dagster-daemon runs: docs/runbooks/alerts_stopped.md" in before[1]
    now = datetime.now(UTC)
    places = [(NAME, "latest", "freshness"), (DOMAIN, "raw/transactions", "volume"), (PLATFORM, "queue", "run_stuck")]
    found = [Finding(Key(*place), Severity.ERROR, now) for place in (*places, ("other", "other/latest", "freshness"))]
    book = IncidentStore(AlertsFile(bench.settings.alerts_file))
    book.observe(found, AlertConfig().rules(), now)
    lines = status().output.splitlines()
    for number, (line, (_, asset, kind)) in enumerate(zip(lines[1:4], places, strict=True), start=1):
        assert f"incident {number} {asset} {kind}" in line
        assert f"not acknowledged: docs/runbooks/{kind}.md" in line
    assert not any("other/latest" in line or "alerts begin" in line for line in lines)
    book.observe([], AlertConfig().rules(), now - timedelta(minutes=6))
    assert "alerts stopped at" in status().output


def test_what_fails_is_told_with_its_runbook(bench: Bench, status: Status) -> None:
    """A check that fails and a lease that a run which is over still holds stand there, with pages that exist."""
    writer = next(iter(bench.instance.get_runs(limit=1))).run_id
    Publication.begin(bench.platform.store, NAME, writer=writer)
    bench.rewrite(f"{NAME}/features", "SELECT * FROM t LIMIT 20", {"day": DAY})
    assert not bench.run("predictions").success
    told = status()
    assert told.exit_code == 1
    assert "ERROR purchase_propensity/predictions coverage" in told.output
    assert "See docs/runbooks/coverage.md" in told.output
    assert f"{writer} is over and still holds the right to write" in told.output
    assert "docs/runbooks/lease_held.md" in told.output
    (state,) = json.loads(CliRunner().invoke(app, ["status", NAME, "--json"]).output)
    pages = [check["runbook"] for check in state["failing_checks"]]
    assert pages
    assert all((PROJECT / page).is_file() for page in pages)
    assert state["online"]["online"]["lease"]["stale"]
