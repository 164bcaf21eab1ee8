"""How a broken folder of the catalog is shown: in the UI, in alerts, by `validate` and `status`, and by the API.

Not here: what is broken (tests/unit/catalog/test_isolation.py).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.catalog.discovery import open_catalog
from serving_assets.cli import app
from serving_assets.pipeline.broken_declarations import DECLARATION_BROKEN
from serving_assets.pipeline.definitions import build_defs
from serving_assets.pipeline.observing.alert_sensor import look
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings, get_settings
from tests.pipeline.slice import QUIET_INSTANCE
from tests.unit.catalog.small_catalog import write_catalog
from tests.unit.catalog.test_isolation import OTHER

BROKEN = {**OTHER, "use_cases/other/features.sql": "SELECT person, no_such AS f FROM person_days"}
CHECK = dg.AssetCheckKey(dg.AssetKey(["other", "declaration"]), DECLARATION_BROKEN)


def workspace(root: Path, changes: dict[str, str | None]) -> tuple[Settings, dg.Definitions, Platform]:
    """Settings and definitions over the small catalog with `changes`."""
    settings = Settings(data_dir=root / "data", catalog_dir=write_catalog(root / "catalog", changes))
    defs = build_defs(settings)
    platform = (defs.resources or {})["platform"]
    assert isinstance(platform, Platform)
    return settings, defs, platform


def test_the_graph_has_the_others_and_a_failed_check(tmp_path: Path) -> None:
    """Only the broken use case is missing from the graph; in its place stands an asset whose check fails in red."""
    settings, defs, platform = workspace(tmp_path, BROKEN)
    graph = defs.resolve_asset_graph()
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert groups["other/declaration"] == "other"
    assert {name for name, group in groups.items() if group == "other"} == {"other/declaration"}
    assert "buys_again/online" in groups
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=QUIET_INSTANCE) as instance:
        for _ in range(2):
            look(instance, platform, graph, datetime.now(UTC))
        newest = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK])[CHECK].evaluation
        assert newest is not None
        assert (newest.passed, newest.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "no_such" in (newest.description or "")
        history = instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=10)
        assert len(history) == 1
        book = IncidentStore(AlertsFile(settings.alerts_file))
        (incident,) = book.incidents()
        assert (incident.key.kind, incident.key.asset) == (DECLARATION_BROKEN, "other/declaration")
        write_catalog(tmp_path / "catalog", OTHER)
        repaired = build_defs(settings)
        platform = Platform(settings, open_catalog(settings.catalog_dir))
        look(instance, platform, repaired.resolve_asset_graph(), datetime.now(UTC))
        assert not book.incidents()


@pytest.mark.parametrize(("changes", "code"), [(BROKEN, 1), (OTHER, 0)])
def test_validate_reports_all_that_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], code: int
) -> None:
    """The command that a team's CI calls exits with 1 when anything is broken, and names it."""
    monkeypatch.setenv("CATALOG_DIR", str(write_catalog(tmp_path / "catalog", changes)))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    try:
        found = CliRunner().invoke(app, ["validate", "--json"])
        assert found.exit_code == code, found.output
        broken = json.loads(found.stdout)["broken"]
        assert list(broken) == (["use_cases/other"] if code else [])
        shown = CliRunner().invoke(app, ["validate"])
        assert ("no_such" if code else "Everything fits.") in shown.stdout
        assert not (tmp_path / "data").exists()
    finally:
        get_settings.cache_clear()
