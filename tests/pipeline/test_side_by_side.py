"""Days that are scored in processes of their own.

Not here: what a backfill does with them (test_backfill.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from serving_assets.errors import ServingAssetsError
from serving_assets.failpoints import VARIABLE
from serving_assets.lake import DayRange
from serving_assets.local_runner.backfill_steps import DAILY_TABLES
from serving_assets.local_runner.worker_pool import run_side_by_side
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.asset_keys import stage_keys
from serving_assets.settings import PROJECT
from tests.pipeline.slice import Bench, copy_of

RANGE = DayRange(date(2017, 5, 26), date(2017, 5, 28))
BAD = date(2017, 5, 27)
PATIENCE_SECONDS = 60
ORPHAN = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from serving_assets.local_runner.worker_pool import _begin

pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, ({},))
print(pool.submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def opened(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench that other processes find in their environment."""
    home = bench.root / "dagster"
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}", encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("DATA_DIR", str(bench.settings.data_dir))
    return bench


@pytest.mark.long
def test_days_side_by_side_are_scored_as_one_after_the_other(opened: Bench, tmp_path: Path) -> None:
    """Each day has a run of its own, the bad one fails alone, and the tables are those of one process."""
    late = "SELECT * REPLACE (TIMESTAMPTZ '2017-05-28 04:00:00+00' AS last_purchased_at) FROM t"
    opened.rewrite("mapped/household_days", late, {"day": BAD})
    alone = copy_of(opened, tmp_path / "alone")
    keys = stage_keys(opened.use_case, DAILY_TABLES)
    done = {outcome.days: outcome for outcome in run_side_by_side(Workspace, keys, RANGE.days(), {}, 2)}
    one_by_one = {day: alone.score(day) for day in RANGE.days()}
    for day in RANGE.days():
        outcome = done[DayRange(day, day)]
        assert outcome.success == one_by_one[day].success == (day != BAD)
        assert outcome.failures == one_by_one[day].failures
        assert opened.instance.get_run_by_id(outcome.run_id)
    assert len({outcome.run_id for outcome in done.values()}) == len(RANGE)
    values = "household_id, score, scored_for"
    assert opened.rows("historic", values) == alone.rows("historic", values)
    assert opened.rows("features") == alone.rows("features")


def test_a_killed_process_is_told(opened: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a process that scores is killed, the command says so instead of waiting for it."""
    monkeypatch.setenv(VARIABLE, "stage.before_write")
    keys = stage_keys(opened.use_case, DAILY_TABLES)
    with pytest.raises(ServingAssetsError, match="was killed"):
        list(run_side_by_side(Workspace, keys, [RANGE.first], {}, 1))


def test_processes_end_with_the_command() -> None:
    """A command that is killed leaves no process behind that goes on scoring."""
    command = [sys.executable, "-c", ORPHAN]
    killed = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)
    status, until = Path("/proc", killed.stdout.strip(), "stat"), time.monotonic() + PATIENCE_SECONDS
    while runs(status) and time.monotonic() < until:
        time.sleep(0.1)
    if still := runs(status):
        os.kill(int(killed.stdout), 9)
    assert not still


def runs(status: Path) -> bool:
    """Whether a process is there, and not only its entry that is not collected yet."""
    try:
        return status.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
