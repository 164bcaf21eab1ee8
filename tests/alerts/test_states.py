"""What one look finds that no run says: late assets, stuck runs, failing ticks, channels that refuse, a broken file."""

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
from tests.alerts.small import World

D1 = "2026-01-01"
LOCATION = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="none.py"), location_name="here")
REPOSITORY = RemoteRepositoryOrigin(LOCATION, "all")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A small workspace that has been looked at once."""
    made = World(tmp_path)
    made.look()
    return made


def test_a_run_in_which_nothing_happens_is_told(world: World) -> None:
    """A run that has told nothing for half an hour is stuck, and no longer when it has ended."""
    run = world.dead_run("housekeeping", ends=False)
    world.look(timedelta(minutes=20))
    assert world.open() == {}
    world.look(timedelta(minutes=31))
    assert run[:8] in world.open()["jobs/housekeeping:run_stuck"].message
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
    assert "1 runs wait since" in world.open()["queue:run_stuck"].message
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
    assert {key: found.message for key, found in world.open().items()} == {
        "sensors/arrivals:tick_failed": "timed out again"
    }
    _tick(world, sensor, 3, None)
    world.look()
    assert world.open() == {}


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
        assert "500" in world.open()["alerts/hook:delivery_failed"].message
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
