"""Alerts over the real pipeline: whom a bad delivery pages, and that its fix is reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.records import Incident
from serving_assets.local_runner.run_assets import run_assets
from serving_assets.pipeline.observing.alert_sensor import look
from tests.pipeline.slice import DAY, NAME, Bench
from tests.pipeline.spoiling import spoil_lines
from tests.pipeline.ticks import at, entered, made, sensor_tick

DUE = at("2017-06-01T07:00")


def looked(bench: Bench, now: datetime | None = None) -> dict[str, Incident]:
    """Open incidents after one look, by asset and kind."""
    soon = now or datetime.now(UTC) + timedelta(seconds=10)
    assert look(bench.instance, bench.platform, bench.defs.resolve_asset_graph(), soon)
    book = IncidentStore(AlertsFile(bench.settings.alerts_file))
    return {str(incident.key): incident for incident in book.incidents()}


def test_a_bad_delivery_calls_the_owner_of_the_source(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """One incident on the raw table, of its owner, with the measured share; none on what was not made because of it."""
    before = set(looked(bench))
    good = bench.landed("transactions").read_bytes()
    spoil_lines(bench, every=10)
    raw = dg.AssetKey(["raw", "transactions"])
    assert not run_assets(bench.defs, bench.instance, [raw], DAY).success
    new = {key: incident for key, incident in looked(bench).items() if key not in before}
    assert list(new) == ["raw/transactions:rejected_share"]
    found = new["raw/transactions:rejected_share"].last
    source = bench.catalog.tables["transactions"]
    assert found.owners == source.spec.owners
    assert found.key.scope == source.domain.name
    assert found.measured is not None
    assert found.measured > 0.01 == found.threshold
    assert (found.days.first, found.lasting) == (str(DAY), True)
    assert "ALERT Error: raw/transactions rejected share" in capsys.readouterr().out

    mapped = dg.AssetKey(["mapped", "baskets"])
    assert not run_assets(bench.defs, bench.instance, [mapped], DAY).success
    new = {key: incident for key, incident in looked(bench).items() if key not in before}
    assert list(new) == ["raw/transactions:rejected_share"], "the refusal joins its cause"

    bench.landed("transactions").write_bytes(good)
    assert run_assets(bench.defs, bench.instance, [raw, mapped], DAY).success
    assert set(looked(bench)) <= before


def test_what_catching_up_gives_up_calls_the_owner(bench: Bench) -> None:
    """After the third failed attempt a person is called, and no longer when the day may be tried again."""
    key, before = f"{NAME}/online:given_up", str(DAY - timedelta(days=1))
    assert key not in looked(bench, DUE)
    for _ in range(3):
        request = sensor_tick(bench, f"{NAME}_catch_up", None, DUE).run_requests[0]
        entered(bench.instance, f"{NAME}_daily", request, dg.DagsterRunStatus.FAILURE)
    assert key not in looked(bench, DUE + timedelta(minutes=4))
    found = looked(bench, DUE + timedelta(minutes=6))[key].last
    assert f"{before} has no predictions" in found.message
    assert found.owners == bench.use_case.spec.owners
    made(bench.instance, dg.AssetKey(["mapped", "baskets"]), before)
    assert key not in looked(bench, DUE + timedelta(minutes=12))
