"""The instance in memory that fast tests use: a real instance answers every question alike.

Not here: what automation makes of the answers (test_gaps.py, test_schedules.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test

from serving_assets.lake import DayRange
from serving_assets.pipeline.automation import backfill_record
from serving_assets.pipeline.automation.backfill_record import Phase
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.processes import this_process
from serving_assets.pipeline.dagster_instance.runs import ENDED, UNFINISHED
from serving_assets.pipeline.dagster_instance.tags import BACKFILL_TAG, PHASE_TAG, range_tags
from tests.pipeline.fake_instance import FakeInstance
from tests.pipeline.slice import QUIET_INSTANCE

Status = dg.DagsterRunStatus
LINES, MODEL, NONE = dg.AssetKey(["raw", "lines"]), dg.AssetKey(["churn", "model"]), dg.AssetKey(["raw", "none"])
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


@dataclass
class Recorder:
    """Enters the same history into a real instance as a `FakeInstance` takes."""

    instance: dg.DagsterInstance

    def materialize(self, asset: dg.AssetKey, *partitions: str, **numbers: Any) -> None:
        """Report a materialization outside of runs."""
        for partition in partitions or (None,):
            made = dg.AssetMaterialization(asset, partition=partition, metadata=numbers)
            self.instance.report_runless_asset_event(made)

    def run(self, status: Status, tags: dict[str, str] | None = None, assets: tuple[dg.AssetKey, ...] = ()) -> None:
        """Create a run; one that has failed has begun and ended."""
        run = create_run_for_test(
            self.instance, job_name="__ASSET_JOB", tags=tags, asset_selection=frozenset(assets) or None
        )
        if status == Status.FAILURE:
            self.instance.report_run_failed(run)
        elif status == Status.CANCELED:
            self.instance.report_run_canceled(run)

    def request(self, asset: dg.AssetKey) -> None:
        """Request a backfill, as the UI does."""
        backfill = PartitionBackfill(
            backfill_id="one",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=0.0,
            asset_selection=[asset],
            serialized_asset_backfill_data="{}",
        )
        self.instance.add_backfill(backfill)


@dataclass
class FakeRecorder:
    """Enters the history into memory."""

    view: FakeInstance

    def materialize(self, asset: dg.AssetKey, *partitions: str, **numbers: Any) -> None:
        """Enter it."""
        self.view.materialize(asset, *partitions, **numbers)

    def run(self, status: Status, tags: dict[str, str] | None = None, assets: tuple[dg.AssetKey, ...] = ()) -> None:
        """Enter it."""
        self.view.run(status, tags, assets)

    def request(self, asset: dg.AssetKey) -> None:
        """Enter it."""
        self.view.requested.add(asset)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[tuple[InstanceView, Any], tuple[InstanceView, Any]]]:
    """A real instance and one in memory, each with what enters a history into it."""
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=QUIET_INSTANCE) as instance:
        fake = FakeInstance()
        yield (DagsterView(instance), Recorder(instance)), (fake, FakeRecorder(fake))


def history(enters: Any) -> None:
    """Materializations, runs of every kind, and a backfill from the UI."""
    enters.materialize(LINES, DAYS[0], rows=3)
    enters.materialize(LINES, DAYS[1], rows=4)
    enters.materialize(LINES, DAYS[0], rows=5)
    enters.materialize(MODEL, rows=1)
    enters.run(Status.FAILURE, {"a": "1", "b": "2"}, (LINES,))
    enters.run(Status.CANCELED, {"a": "1"})
    enters.run(Status.NOT_STARTED, {"a": "2"}, (LINES, MODEL))
    enters.request(MODEL)


EPOCH, FAR = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
QUESTIONS: dict[str, Callable[[InstanceView], object]] = {
    "partitions": lambda v: [set(v.materialized_partitions(key)) for key in (LINES, MODEL, NONE)],
    "rows of the newest, by partition": lambda v: {
        day: (made.partition, made.run_id, made.numbers) for day, made in v.newest_by_partition(LINES, DAYS).items()
    },
    "no partition asked for": lambda v: (v.newest_by_partition(LINES, ()), v.newest_event_ids(LINES, ())),
    "partitions in the order of their events": lambda v: sorted(
        (ids := v.newest_event_ids(LINES, DAYS)), key=ids.__getitem__
    ),
    "newest of assets": lambda v: {
        key: (made.partition, made.numbers) for key, made in v.newest_of([LINES, MODEL, NONE]).items()
    },
    "later assets have later events": lambda v: (n := v.newest_of([LINES, MODEL]))[LINES].event < n[MODEL].event,
    "made after": lambda v: [
        v.was_made_after(key, at, day)
        for key in (LINES, NONE)
        for at in (EPOCH, FAR)
        for day in (None, DAYS[0], DAYS[2])
    ],
    "runs": lambda v: [(r.job, r.status, r.tags, r.assets, r.ended is None) for r in v.runs()],
    "runs by tags": lambda v: [r.status for r in v.runs({"a": "1"})],
    "runs by all tags": lambda v: [r.status for r in v.runs({"a": "1", "b": "2"})],
    "ended": lambda v: [r.status for r in v.runs({"a": "1"}, ENDED)],
    "unfinished": lambda v: [r.status for r in v.runs(statuses=UNFINISHED)],
    "tag values": lambda v: (v.run_tag_values("a"), v.run_tag_values("c")),
    "backfills of the daemon": lambda v: v.assets_of_requested_backfills(),
}


def test_the_fake_answers_as_a_real_instance(both: Any) -> None:
    """Every question of the protocol has the same answer after the same history, and before any."""
    (real, enters), (fake, enters_too) = both
    of_nothing = {name for name in QUESTIONS if not name.startswith("later")}
    assert {name: QUESTIONS[name](fake) for name in of_nothing} == {name: QUESTIONS[name](real) for name in of_nothing}
    history(enters)
    history(enters_too)
    for name, question in QUESTIONS.items():
        assert question(fake) == question(real), name


def test_stored_values_are_those_of_a_real_instance(both: Any) -> None:
    """A stored value is found under its key, a later one replaces it, and an absent key is left out."""
    for view, _ in both:
        view.store_values({"a": "1", "b": "2"})
        view.store_values({"a": "3"})
        assert view.stored_values({"a", "b", "c"}) == {"a": "3", "b": "2"}
        assert view.stored_values(set()) == {}


def test_a_backfill_is_kept_in_memory() -> None:
    """The record, its state, its progress and the request to pause it need nothing but the protocol."""
    view = FakeInstance()
    use_case: Any = SimpleNamespace(name="churn")
    week = DayRange(date(2026, 1, 1), date(2026, 1, 7))
    ordered = backfill_record.order(view, use_case, week, only_tables=False)
    backfill_record.record(view, replace(ordered, process=this_process()))
    tags = {BACKFILL_TAG: ordered.id, PHASE_TAG: Phase.TABLES.value, **range_tags(week)}
    run = view.run(Status.STARTED, tags)
    assert backfill_record.running_backfill(view, "churn") == ordered.id
    view.end(run, Status.SUCCESS)
    failed = view.run(Status.FAILURE, {**tags, PHASE_TAG: Phase.PREDICTIONS.value, **range_tags(week)})
    progress = backfill_record.progress_of(view, ordered.id)
    assert progress.tables == set(week.days())
    assert progress.failed == dict.fromkeys(week.days(), failed.run_id)
    assert timedelta(seconds=progress.seconds) >= timedelta(0)
    backfill_record.pause(view, ordered.id)
    assert backfill_record.pause_requested(view, ordered.id)
    assert [each.id for each in backfill_record.all_backfills(view)] == [ordered.id]
