"""The instance of a command: the files of the UI's instance, opened in another way.

Not here: what a run does (test_outcomes.py).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from serving_assets.local_runner.run_assets import Outcome, run_assets
from serving_assets.pipeline.dagster_instance.sqlite_speedups import open_instance
from tests.pipeline.slice import QUIET_INSTANCE

DAYS = dg.DailyPartitionsDefinition("2026-01-01")
KEYS = [dg.AssetKey("lines"), dg.AssetKey("sums")]
FEW_CONNECTIONS = 12


@dg.asset(partitions_def=DAYS, name="lines")
def lines() -> None:
    """An asset."""
    print("a line")  # noqa: T201


@dg.asset(partitions_def=DAYS, name="sums", deps=[lines])
def sums() -> None:
    """Another one, made of it."""


DEFS = dg.Definitions([lines, sums])


def run(instance: dg.DagsterInstance, day: int) -> Outcome:
    """Run both assets for a day."""
    return run_assets(DEFS, instance, KEYS, DAYS.time_window_for_partition_key(f"2026-01-{day:02}").start.date())


def test_a_command_and_the_ui_share_their_files(tmp_path: Path) -> None:
    """Runs, events and partitions that either instance writes are read by the other one, while both are open."""
    with open_instance(tmp_path) as ours, dg.DagsterInstance.local_temp(str(tmp_path)) as theirs:
        by_us, by_them, again = run(ours, 1), run(theirs, 2), run(ours, 3)
        for done in (by_us, by_them, again):
            assert done.success
            ours_run, their_run = ours.get_run_by_id(done.run_id), theirs.get_run_by_id(done.run_id)
            assert ours_run is not None
            assert their_run is not None
            assert ours_run.status == their_run.status == dg.DagsterRunStatus.SUCCESS
            assert len(ours.all_logs(done.run_id)) == len(theirs.all_logs(done.run_id)) > 10
        for key in KEYS:
            wanted = {"2026-01-01", "2026-01-02", "2026-01-03"}
            assert ours.get_materialized_partitions(key) == theirs.get_materialized_partitions(key) == wanted
        newest = theirs.get_latest_materialization_event(KEYS[1])
        assert newest is not None
        assert newest.run_id == again.run_id
        assert theirs.get_run_records()[0].dagster_run.run_id == again.run_id


def test_the_output_of_steps_goes_to_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A command's step prints to the screen alone, and the UI knows that no captured output follows."""
    with open_instance(tmp_path) as ours, dg.DagsterInstance.local_temp(str(tmp_path)) as theirs:
        done = run(ours, 1)
        (captured,) = (
            e for e in theirs.all_logs(done.run_id) if e.get_dagster_event().event_type_value == "LOGS_CAPTURED"
        )
        key = [done.run_id, "compute_logs", captured.get_dagster_event().logs_captured_data.file_key]
        assert theirs.compute_log_manager.is_capture_complete(key)
        assert theirs.compute_log_manager.get_log_data(key).stdout in (None, b"")
    assert "a line" in capfd.readouterr().out


def test_connections_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run opens a database once, not once a statement, and commits without waiting for the disk."""
    opened: list[str] = []
    connect = sqlite3.dbapi2.connect

    def counted(*args: object, **kwargs: object) -> sqlite3.Connection:
        opened.append(str(args[0]))
        return connect(*args, **kwargs)  # type: ignore[call-overload, no-any-return]

    with open_instance(tmp_path) as ours, dg.DagsterInstance.local_temp(str(tmp_path)) as theirs:
        run(ours, 1)
        monkeypatch.setattr(sqlite3.dbapi2, "connect", counted)
        assert run(ours, 2).success
        of_ours = len(opened)
        assert run(theirs, 3).success
        with ours.event_log_storage.index_connection() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    assert of_ours <= FEW_CONNECTIONS < len(opened) - of_ours


def test_what_is_configured_otherwise_stays(tmp_path: Path) -> None:
    """Only Dagster's defaults are replaced: a manager of logs that is configured is the one that is used."""
    with open_instance(tmp_path, QUIET_INSTANCE) as ours, open_instance(tmp_path) as by_default:
        assert type(ours.compute_log_manager).__name__ == "NoOpComputeLogManager"
        assert type(by_default.compute_log_manager).__name__ == "ScreenOutput"


def test_files_are_closed_with_the_instance(tmp_path: Path) -> None:
    """After the instance no write-ahead log is left: the databases are whole by themselves."""
    with open_instance(tmp_path) as ours:
        run(ours, 1)
        assert list(tmp_path.rglob("*.db-wal"))
    assert list(tmp_path.rglob("*.db-wal")) == []
