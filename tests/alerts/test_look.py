"""What one look finds in the runs that have ended: checks, failed steps, dead workers."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from serving_assets.alerts.lifecycle import opened
from serving_assets.alerts.records import Key
from serving_assets.lake import DayRange
from serving_assets.pipeline.dagster_instance.check_records import failed_days
from serving_assets.pipeline.observing.causes import with_causes
from tests.alerts.incidents import ERROR, OK, WARN, finding
from tests.alerts.small import OWNERS, World

D1, D2 = "2026-01-01", "2026-01-02"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A small workspace that has been looked at once."""
    made = World(tmp_path)
    made.look()
    return made


def test_a_failed_check_of_a_green_run_is_told_and_its_passing_too(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that does not block leaves the run green, and still calls its owner, with numbers and links."""
    world.fails("churn/predictions")
    assert world.make("churn/predictions", D1).success
    assert str(world.look()) == "1 open incidents; 1 notices delivered"
    told = capsys.readouterr().out
    assert "ALERT Error: churn/predictions sound\n  What: churn/predictions is odd\n" in told
    assert f"  Where: churn/predictions, {D1}\n" in told
    assert "  Measured: 0.5, threshold 0.25\n  Owner: team:crm\n" in told
    assert "  See: http://127.0.0.1:3000/assets/churn/predictions?view=checks&checkDetail=sound\n" in told
    assert "  Runbook: docs/runbooks/sound.md\n" in told
    assert world.look().delivered == 0
    world.passes("churn/predictions")
    world.make("churn/predictions", D2)
    assert str(world.look()) == "0 open incidents; 1 notices delivered"
    assert "ALERT Resolved: churn/predictions sound" in capsys.readouterr().out


def test_a_blocking_failure_is_one_incident_that_only_its_own_day_ends(world: World) -> None:
    """The run that a check fails is no second incident; a bad day of a table stays bad when the next one is good."""
    world.fails("raw/lines")
    assert not world.make("raw/lines", D1).success
    world.look()
    assert list(world.open()) == ["raw/lines:sound"]
    assert world.open()["raw/lines:sound"].lasting
    world.passes("raw/lines")
    world.make("raw/lines", D2)
    world.look()
    assert list(world.open()) == ["raw/lines:sound"]
    world.make("raw/lines", D1)
    world.look()
    assert world.open() == {}


def test_a_failed_step_is_told_with_its_mend_and_ends_when_it_is_made(world: World) -> None:
    """What the error says to do comes first; making the asset ends the incident."""
    world.broken["churn/online"] = dg.Failure("The store is down.", metadata={"mend": "Start it."}, allow_retries=False)
    world.make("churn/online")
    world.look()
    found = world.open()["churn/online:step_failed"]
    assert "The store is down." in found.message
    assert (found.first_step, list(found.owners)) == ("Start it.", OWNERS)
    assert found.page.startswith("runs/")
    world.broken.clear()
    world.make("churn/online")
    world.look()
    assert world.open() == {}


def test_only_the_final_attempt_of_a_run_calls(world: World) -> None:
    """A failed run that Dagster will retry calls nobody; the one that it will not retry does."""
    world.broken["churn/online"] = RuntimeError("connection lost")
    world.make("churn/online")
    world.look()
    assert list(world.open()) == ["churn/online:step_failed"]
    world.broken.clear()
    world.make("churn/online")
    world.look()
    run = world.dead_run("__ASSET_JOB", [dg.AssetKey(["churn", "online"])])
    assert world.instance.get_run_by_id(run).tags["dagster/will_retry"] == "true"  # type: ignore[union-attr]
    world.look()
    assert world.open() == {}
    final = world.dead_run("__ASSET_JOB", [dg.AssetKey(["churn", "online"])], {"dagster/max_retries": "0"})
    assert world.instance.get_run_by_id(final).tags["dagster/will_retry"] == "false"  # type: ignore[union-attr]
    world.look()
    assert "killed" in world.open()["churn/online:run_died"].message


def test_a_job_without_assets_is_an_incident_of_its_own(world: World) -> None:
    """The nightly housekeeping that fails is told by its name, and over when it succeeds."""
    job = world.defs.resolve_job_def("housekeeping")
    world.broken["sweep"] = RuntimeError("disk full")
    job.execute_in_process(instance=world.instance, raise_on_error=False)
    world.look()
    assert "disk full" in world.open()["jobs/housekeeping:run_failed"].message
    world.broken.clear()
    job.execute_in_process(instance=world.instance)
    world.look()
    assert world.open() == {}


def test_the_first_look_tells_what_fails_now_and_nothing_of_the_past(tmp_path: Path) -> None:
    """A workspace that is a year old calls nobody for what was fixed long ago."""
    world = World(tmp_path)
    world.fails("churn/predictions", error=False)
    world.make("churn/predictions", D1)
    world.fails("churn/online")
    world.make("churn/online")
    world.passes("churn/online")
    world.make("churn/online")
    world.look()
    assert list(world.open()) == ["churn/predictions:sound"]


def test_a_longer_run_that_ends_later_does_not_bring_back_what_was_mended(world: World) -> None:
    """A failure that was overtaken by a pass in a run that ended before is not told."""
    world.fails("churn/predictions")
    world.make("churn/predictions", D1)
    (failed,) = world.instance.get_run_records()
    world.passes("churn/predictions")
    world.make("churn/predictions", D1)
    run = failed.dagster_run
    world.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name), run.run_id
    )
    world.look()
    assert world.book.incidents(also_resolved=True) == []


def test_what_is_too_young_waits_for_the_next_look(world: World) -> None:
    """An end that has only just been written may still be followed by an older one."""
    world.fails("churn/predictions")
    world.make("churn/predictions", D1)
    world.look(timedelta(seconds=-60))
    assert world.open() == {}
    world.look()
    assert list(world.open()) == ["churn/predictions:sound"]


def test_a_failure_in_a_run_is_not_met_after_its_mending_outside_of_one(world: World) -> None:
    """Runs and what is told outside of them are read up to one moment, so that nothing overtakes and is lost."""
    world.fails("churn/online")
    world.make("churn/online")
    world.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey(["churn", "online"]), check_name="sound", passed=True)
    )
    world.look(timedelta(seconds=-60))  # too early for the end of the run, and so for its fix too
    assert world.book.incidents(also_resolved=True) == []
    world.look()
    (told,) = world.book.incidents(also_resolved=True)
    assert (told.is_open, told.notices) == (False, 2)


RANGE = {"dagster/asset_partition_range_start": D1, "dagster/asset_partition_range_end": "2026-01-05"}


def test_a_range_fails_for_its_bad_day_alone(world: World) -> None:
    """Of five days in one run the third fails: it alone is open and refused, and its repair ends the incident."""
    bad = "2026-01-03"
    world.failed_days = [bad]
    world.fails("raw/lines")
    assert not world.make("raw/lines", **RANGE).success
    world.look()
    assert str(world.open()["raw/lines:sound"].days) == bad
    (incident,) = world.book.incidents()
    assert [one.days.first for one in incident.failing] == [bad]
    days, asset = DayRange(date(2026, 1, 1), date(2026, 1, 5)), dg.AssetKey(["raw", "lines"])
    assert failed_days(world.instance, asset, "sound", days) == [date(2026, 1, 3)]
    world.passes("raw/lines")
    assert world.make("raw/lines", "2026-01-05").success
    world.look()
    assert world.open(), "a day that later days read fails until it is made again"
    assert world.make("raw/lines", bad).success
    world.look()
    assert world.open() == {}
    assert failed_days(world.instance, asset, "sound", days) == []


def test_a_refusal_joins_the_incident_of_the_check_that_it_names(world: World) -> None:
    """A step that does not read what failed a check calls nobody while that check's incident is open."""
    world.fails("raw/lines")
    assert not world.make("raw/lines", D1).success
    refusal = dg.Failure("churn/predictions does not read raw/lines", metadata={"cause": "raw/lines:sound"})
    world.broken["churn/predictions"] = refusal
    assert not world.make("churn/predictions", D1).success
    world.look()
    assert set(world.open()) == {"raw/lines:sound"}
    world.book.resolve(world.book.incidents()[0].number, "ann", "accepted", world.book.incidents()[0].opened_at)
    assert not world.make("churn/predictions", D1).success
    world.look()
    assert set(world.open()) == {"churn/predictions:step_failed"}


def test_the_same_check_along_a_lineage_is_one_incident() -> None:
    """What is made of a table that warns for the same days has that table as its cause; what is worse has not."""

    @dg.asset(key=["raw", "lines"])
    def lines() -> None: ...

    @dg.asset(key=["mapped", "days"], deps=[dg.AssetKey(["raw", "lines"])])
    def days() -> None: ...

    @dg.asset(key=["churn", "features"], deps=[dg.AssetKey(["mapped", "days"])])
    def features() -> None: ...

    graph = dg.Definitions(assets=[lines, days, features]).resolve_asset_graph()
    source, other = Key("shop", "raw/lines", "volume"), Key("churn", "churn/features", "volume")
    on = partial(finding, day=D1)
    (_, joined) = with_causes([on(WARN, key=source), on(WARN, key=other)], graph, [])
    assert joined.cause == "raw/lines:volume"
    for changed in (
        on(ERROR, key=other),
        finding(WARN, day=D2, key=other),
        on(WARN, key=other._replace(kind="contract")),
        on(OK, key=other),
    ):
        assert with_causes([on(WARN, key=source), changed], graph, [])[1] == changed
    incident = opened(on(WARN, key=source), 1, "abc-1")
    assert with_causes([on(WARN, key=other)], graph, [incident])[0].cause == "raw/lines:volume"
