"""Rules of a run that is killed: tables old or new, readers one whole generation, and the next run repairs."""

from __future__ import annotations

import random
import time
from pathlib import Path
from signal import SIGKILL

import pytest

from serving_assets.failpoints import FAILPOINTS
from tests.faults.nights import HISTORIC, PUBLICATIONS, Night, State, exit_code, start, state, twice, unfinished
from tests.pipeline.slice import NAME, Bench, copy_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
"""The first test also builds the slice."""

PARTS = ("tables", "scores", "publication")
KILLS = {
    "tables": [
        *("stage.before_write:8", "raw.between_rejected_and_accepted", "lake.write.before:2"),
        "lake.write.after_commit:7",
    ],
    "scores": [
        *("stage.after_write:2", "lake.write.mid_stream:3", "lake.write.after_commit:3"),
    ],
    "publication": [
        *("stage.after_write", "store.publish.after_begin", "store.publish.mid_write:2", "store.publish.before_verify"),
        *("store.publish.before_flip", "store.publish.after_flip:2", "online.before_publication_row:2"),
    ],
}


def test_every_failpoint_that_a_run_meets_has_a_kill() -> None:
    """No failpoint of the daily stages, and of what they stand on, stays untested."""
    met = {name for name in FAILPOINTS if name.partition(".")[0] in {"lake", "online", "raw", "stage", "store"}}
    assert {kill.partition(":")[0] for kills in KILLS.values() for kill in kills} == met


@pytest.mark.parametrize(("part", "kill"), [(part, kill) for part in PARTS for kill in KILLS[part]])
def test_a_killed_run_harms_nobody(night: Night, part: str, kill: str, tmp_path: Path) -> None:
    """Killed anywhere, a run leaves each table, and the store, as before or as after it, and the next run repairs."""
    bench = copy_of(night.dusk[part], tmp_path)
    assert exit_code(start(bench, part, kill_at=kill)) == -SIGKILL
    assert len(unfinished(bench)) == 1
    _old_or_new(state(bench), night.before[part], night.after[part])

    assert exit_code(start(bench, part)) == 0
    assert unfinished(bench) == []
    assert state(bench) == night.after[part]
    _nothing_doubled(bench)


def test_a_night_of_kills_ends_as_if_undisturbed(night: Night, tmp_path: Path) -> None:
    """Killed again and again, at moments nobody chose, a night's work never shows anything half done, and gets done."""
    bench, seed = copy_of(night.dusk["tables"], tmp_path), random.Random(20170601)
    before, after = night.before["tables"], night.after["publication"]
    killed = 0
    for _ in range(4):
        child = start(bench, *PARTS)
        _wait_for_commits(bench, seed.randrange(12), child)
        time.sleep(seed.uniform(0, 0.3))
        child.kill()
        killed += exit_code(child) == -SIGKILL
        _old_or_new(state(bench), before, after)
    assert killed > 1, "too few kills to prove anything"
    assert exit_code(start(bench, *PARTS)) == 0
    assert state(bench) == after
    _nothing_doubled(bench)


def _wait_for_commits(bench: Bench, commits: int, child: object) -> None:
    """Until the child has committed so often, or is done."""
    lake, begun = Path(bench.settings.lake), None
    while child.is_alive():  # type: ignore[attr-defined]
        found = sum(1 for _ in lake.glob("*/*/_delta_log/*.json"))
        begun = found if begun is None else begun
        if found >= begun + commits:
            return
        time.sleep(0.01)


def _old_or_new(found: State, old: State, new: State) -> None:
    """Each table for itself, and what readers get as a whole."""
    for table in new.tables:
        assert found.tables.get(table) in (old.tables.get(table), new.tables[table]), table
    for collection, documents in found.documents.items():
        assert documents in (old.documents[collection], new.documents[collection]), collection


def _nothing_doubled(bench: Bench) -> None:
    """Each run's predictions stand once in the history, and each generation once among the publications."""
    assert twice(bench, HISTORIC, "household_id", "scored_for", "run_id") == []
    assert twice(bench, PUBLICATIONS, "generation") == []
    control = bench.platform.store.control(NAME)
    assert control is not None
    assert control.clean
    active = control.published
    assert active is not None
    rows = bench.table_rows(PUBLICATIONS, "generation, rows, run_id, digest", f"generation = {active.number}")
    expected = {"generation": active.number, "rows": active.rows, "run_id": active.run_id, "digest": str(active.digest)}
    assert rows == [expected]
