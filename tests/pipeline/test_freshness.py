"""Freshness policies as Dagster's own daemon evaluates them, on ordinary days and when clocks change.

Not here: how far a table lags behind, and how new its data is: a policy knows neither.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.test_utils import freeze_time
from dagster._daemon.freshness import FreshnessDaemon

from serving_assets.catalog.spec import Daily
from serving_assets.pipeline.automation.freshness_policies import freshness_policies
from serving_assets.pipeline.dagster_instance.freshness_state import freshness_of
from serving_assets.pipeline.definitions import build_defs
from serving_assets.settings import Settings
from tests.pipeline.daemons import code_location, daemon_instance
from tests.pipeline.slice import NAME, Bench, small_catalog
from tests.pipeline.ticks import at, made

LATEST, RAW = dg.AssetKey([NAME, "latest"]), dg.AssetKey(["raw", "transactions"])


def graph(schedule: Daily | None = None, deadline: str | None = None) -> dg.Definitions:
    """The shipped definitions, one use case scheduled otherwise."""
    catalog = small_catalog()
    bound = catalog.use_cases[NAME]
    spec = bound.spec.model_copy(update={"schedule": schedule or bound.spec.schedule, "deadline": deadline})
    return build_defs(Settings(), replace(catalog, use_cases={NAME: replace(bound, spec=spec)}))


def state(defs: dg.Definitions, instance: dg.DagsterInstance, key: dg.AssetKey, now: datetime) -> str:
    """What the policy says at an instant."""
    with freeze_time(now):
        return freshness_of(instance, defs.resolve_asset_graph().get(key))


@pytest.mark.parametrize(
    ("yesterday", "deadline", "made_late"),
    [
        pytest.param("2017-05-09", "2017-05-10T07:00", "2017-05-10T07:20", id="an ordinary day"),
        pytest.param("2017-03-11", "2017-03-12T07:00", "2017-03-12T07:20", id="clocks go forward"),
        pytest.param("2017-11-04", "2017-11-05T07:00", "2017-11-05T07:20", id="clocks go back"),
    ],
)
@pytest.mark.parametrize("key", [LATEST, RAW], ids=lambda key: key.path[-1])
def test_the_deadline_is_local(yesterday: str, deadline: str, made_late: str, key: dg.AssetKey) -> None:
    """What was made the day before is fresh until the deadline on the local clock, and stale then until it is made."""
    defs, partition = graph(), yesterday if key == RAW else None
    with dg.DagsterInstance.ephemeral() as instance:
        assert state(defs, instance, key, at(deadline)) == FreshnessState.UNKNOWN
        with freeze_time(at(f"{yesterday}T05:10")):
            made(instance, key, partition)
        due = at(deadline)
        before = datetime.fromtimestamp(due.timestamp() - 60, due.tzinfo)
        assert [state(defs, instance, key, now) for now in (before, due)] == [FreshnessState.PASS, FreshnessState.FAIL]
        with freeze_time(at(made_late)):
            made(instance, key, partition)
        assert state(defs, instance, key, at(made_late)) == FreshnessState.PASS


def test_a_run_at_its_hour_is_in_time_also_when_an_hour_comes_twice() -> None:
    """Made at 00:40, before an hour that comes twice, it is fresh at 07:00: seven hours later, and six on the clock."""
    defs = graph(Daily(at="00:30", timezone="America/New_York"), "07:00")
    with dg.DagsterInstance.ephemeral() as instance:
        with freeze_time(at("2017-11-05T00:40")):
            made(instance, LATEST, None)
        assert state(defs, instance, LATEST, at("2017-11-05T07:00")) == FreshnessState.PASS


def test_shared_sources_are_due_for_whoever_needs_them_first() -> None:
    """A source is due at the earliest deadline of the use cases that read it; what nobody reads is never due."""
    policies = freshness_policies(small_catalog())
    crons = {key.to_user_string(): getattr(policy, "deadline_cron", None) for key, policy in policies.items()}
    assert crons["raw/transactions"] == crons[f"{NAME}/latest"] == "0 7 * * *"
    assert crons["basket_propensity/latest"] == "30 7 * * *"
    assert "raw/promotions" not in crons


def test_a_snapshot_is_due_as_often_as_declared() -> None:
    """A snapshot that must be renewed every 30 days fails after those, and warns before."""
    catalog = small_catalog()
    table = catalog.tables["products"]
    monthly = replace(table, spec=table.spec.model_copy(update={"renewed_every_days": 30}))
    defs = build_defs(Settings(), replace(catalog, tables={**catalog.tables, "products": monthly}))
    key = dg.AssetKey(["raw", "products"])
    with dg.DagsterInstance.ephemeral() as instance:
        with freeze_time(at("2017-01-01T12:00")):
            made(instance, key, None)
        days = ("2017-01-24T12:00", "2017-01-26T12:00", "2017-02-01T12:00")
        found = [state(defs, instance, key, at(day)) for day in days]
    assert found == [FreshnessState.PASS, FreshnessState.WARN, FreshnessState.FAIL]


def test_the_daemon_enters_what_the_policies_say(bench: Bench) -> None:
    """One iteration of the freshness daemon enters the state of every asset that is due."""
    instance = daemon_instance(bench)
    with code_location(bench, instance) as context:
        list(FreshnessDaemon().run_iteration(context))
    nodes = bench.defs.resolve_asset_graph().asset_nodes
    due = [node.key for node in nodes if node.freshness_policy_or_from_metadata]
    states = instance.get_freshness_state_records(due)
    assert {key.to_user_string() for key in due} >= {"raw/transactions", f"{NAME}/latest", f"{NAME}/online"}
    assert {key: record.freshness_state for key, record in states.items()} == {
        node.key: freshness_of(instance, node) for node in nodes if node.key in due
    }
