"""What one look finds in a Dagster instance: checks, failed and dead runs, late assets, stuck runs, failing ticks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.error import SerializableErrorInfo

from tests.alerts.receiver import receiving
from tests.alerts.small import OWNERS, World

D1, D2 = "2026-01-01", "2026-01-02"
LOCATION = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="none.py"), location_name="here")
REPOSITORY = RemoteRepositoryOrigin(LOCATION, "all")


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
    assert "ALERT Over: churn/predictions sound" in capsys.readouterr().out


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
    assert "The store is down." in found.said
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
    run = _died(world, "__ASSET_JOB", [dg.AssetKey(["churn", "online"])])
    assert world.instance.get_run_by_id(run).tags["dagster/will_retry"] == "true"  # type: ignore[union-attr]
    world.look()
    assert world.open() == {}
    final = _died(world, "__ASSET_JOB", [dg.AssetKey(["churn", "online"])], {"dagster/max_retries": "0"})
    assert world.instance.get_run_by_id(final).tags["dagster/will_retry"] == "false"  # type: ignore[union-attr]
    world.look()
    assert "killed" in world.open()["churn/online:run_died"].said


def _died(
    world: World, job: str, assets: list[dg.AssetKey], tags: dict[str, str] | None = None, *, ends: bool = True
) -> str:
    """A run whose worker is gone before it could say why."""
    job_def = world.defs.resolve_implicit_global_asset_job_def() if assets else world.defs.resolve_job_def(job)
    run = world.instance.create_run_for_job(job_def, asset_selection=frozenset(assets) or None, tags=tags)
    events = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_def.name)
    world.instance.report_dagster_event(events, run.run_id)
    for asset in assets:
        planned = dg.DagsterEvent.build_asset_materialization_planned_event(
            job_def.name, "__".join(asset.path), _planned(asset)
        )
        world.instance.report_dagster_event(planned, run.run_id)
    if ends:
        started = world.instance.get_run_by_id(run.run_id)
        assert started is not None
        world.instance.report_run_failed(started, "The process that executed this run was killed.")
    return run.run_id


def _planned(asset: dg.AssetKey) -> object:
    from dagster._core.events import AssetMaterializationPlannedData

    return AssetMaterializationPlannedData(asset)


def test_a_job_without_assets_is_an_incident_of_its_own(world: World) -> None:
    """The nightly housekeeping that fails is told by its name, and over when it succeeds."""
    job = world.defs.resolve_job_def("housekeeping")
    world.broken["sweep"] = RuntimeError("disk full")
    job.execute_in_process(instance=world.instance, raise_on_error=False)
    world.look()
    assert "disk full" in world.open()["jobs/housekeeping:run_failed"].said
    world.broken.clear()
    job.execute_in_process(instance=world.instance)
    world.look()
    assert world.open() == {}


def test_a_run_in_which_nothing_happens_is_told(world: World) -> None:
    """A run that has told nothing for half an hour is stuck, and no longer when it has ended."""
    run = _died(world, "housekeeping", [], ends=False)
    world.look(timedelta(minutes=20))
    assert world.open() == {}
    world.look(timedelta(minutes=31))
    assert run[:8] in world.open()["jobs/housekeeping:run_stuck"].said
    stuck = world.instance.get_run_by_id(run)
    assert stuck is not None
    world.instance.report_run_canceled(stuck)
    world.look()
    assert world.open() == {}


def test_a_queue_that_nobody_empties_is_told(world: World) -> None:
    """Runs that wait while none is running wait for somebody."""
    run = world.instance.create_run_for_job(
        world.defs.resolve_job_def("housekeeping"),
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=RemoteJobOrigin(REPOSITORY, "housekeeping"),
    )
    world.look(timedelta(minutes=16))
    assert "1 runs wait since" in world.open()["queue:run_stuck"].said
    world.instance.report_run_canceled(run)
    world.look()
    assert world.open() == {}


def test_late_assets_are_told_when_their_state_changes(tmp_path: Path) -> None:
    """Of one use case only what is nearest to its readers; and it is over when the state passes again."""
    world = World(tmp_path)
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24))
    world.assets[:] = [asset.map_asset_specs(lambda s: dg.apply_freshness_policy(s, policy)) for asset in world.assets]
    world.look()
    for state, expected in [
        (FreshnessState.WARN, ["WARN"]),
        (FreshnessState.FAIL, ["ERROR"]),
        (FreshnessState.UNKNOWN, ["ERROR"]),
        (FreshnessState.PASS, []),
    ]:
        for path in (["churn", "online"], ["churn", "predictions"]):
            change = FreshnessStateChange(
                key=dg.AssetKey(path),
                new_state=state,
                previous_state=FreshnessState.PASS,
                state_change_timestamp=datetime.now(UTC).timestamp(),
            )
            world.instance._report_runless_asset_event(change)
        world.look()
        assert [str(found.severity) for found in world.open().values()] == expected


def _instigator(world: World, kind: InstigatorType, name: str) -> InstigatorState:
    origin = RemoteInstigatorOrigin(REPOSITORY, name)
    data = SensorInstigatorData() if kind == InstigatorType.SENSOR else ScheduleInstigatorData("0 5 * * *")
    return world.instance.add_instigator_state(InstigatorState(origin, kind, InstigatorStatus.RUNNING, data))


def _tick(world: World, state: InstigatorState, minutes: int, failed: str | None) -> None:
    world.instance.create_tick(
        TickData(
            state.instigator_origin_id,
            state.instigator_name,
            state.instigator_type,
            TickStatus.FAILURE if failed else TickStatus.SUCCESS,
            datetime.now(UTC).timestamp() - 3600 + 60 * minutes,
            error=SerializableErrorInfo(failed, [], None) if failed else None,
            selector_id=state.selector_id,
            run_ids=[],
        )
    )


def test_a_schedule_that_fails_is_told_at_once_and_a_sensor_at_the_second_time(world: World) -> None:
    """A sensor tries again by itself; a schedule has missed its day."""
    schedule = _instigator(world, InstigatorType.SCHEDULE, "daily")
    sensor = _instigator(world, InstigatorType.SENSOR, "arrivals")
    _tick(world, schedule, 1, "no such partition")
    _tick(world, sensor, 1, "timed out")
    world.look()
    assert list(world.open()) == ["schedules/daily:tick_failed"]
    _tick(world, sensor, 2, "timed out again")
    _tick(world, schedule, 2, None)
    world.look()
    assert {key: found.said for key, found in world.open().items()} == {
        "sensors/arrivals:tick_failed": "timed out again"
    }
    _tick(world, sensor, 3, None)
    world.look()
    assert world.open() == {}


def test_the_first_look_tells_what_fails_now_and_nothing_of_the_past(tmp_path: Path) -> None:
    """A workspace that is a year old calls nobody for what was mended long ago."""
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


def test_a_broken_configuration_is_an_incident_and_the_last_valid_one_holds(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody goes uncalled because of a typing error at noon."""
    with receiving() as receiver:
        way = f'{{webhook: {{url: "{receiver.url}/a", secret: 0123456789abcdef}}}}'
        hook = f"channels: {{hook: {way}}}\ndefault: {{notify: [hook]}}\n"
        world.file.write_text(hook)
        world.look()
        world.file.write_text("channels: [")
        world.look()
        world.file.write_text(hook)
        world.look()
        told = [(request.json["event"], request.json["kind"]) for request in receiver.requests]
    assert told == [("opened", "configuration_broken"), ("resolved", "configuration_broken")]


def test_a_channel_that_keeps_refusing_is_told_on_the_default_route(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Failures of delivery are incidents themselves, and end when the channel accepts again."""
    with receiving() as receiver:
        world = World(
            tmp_path,
            f'channels: {{hook: {{webhook: {{url: "{receiver.url}/a", secret: 0123456789abcdef}}}}}}\n'
            "owners: {team:crm: {notify: [hook]}}",
        )
        world.look()
        receiver.answer = lambda _: 500
        world.fails("churn/predictions")
        world.make("churn/predictions", D1)
        for _ in range(6):
            world.look()
            _hurry(world)
        assert "500" in world.open()["alerts/hook:delivery_failed"].said
        assert "ALERT Error: alerts/hook delivery failed" in capsys.readouterr().out
        receiver.answer = lambda _: 202
        world.look()
        world.look()
        assert list(world.open()) == ["churn/predictions:sound"]


def _hurry(world: World) -> None:
    """Let the next attempt be due."""
    with world.book.file.writing() as connection:
        connection.execute("UPDATE deliveries SET due = 0 WHERE state = 'pending'")


def test_the_heartbeat_is_asked_after_every_look(tmp_path: Path) -> None:
    """Whoever waits for it notices that nobody alerts any more."""
    with receiving() as receiver:
        world = World(tmp_path, f"heartbeat: {json.dumps(receiver.url + '/beat')}")
        world.look()
    assert [request.path for request in receiver.requests] == ["/beat"]
