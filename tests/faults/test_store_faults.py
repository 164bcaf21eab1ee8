"""Processes that are killed, compete and read while others publish, on a real SQLite file and a real MongoDB."""

from __future__ import annotations

from multiprocessing import get_context
from signal import SIGKILL

import pytest

from serving_assets.failpoints import FAILPOINTS, VARIABLE
from serving_assets.store import open_store, parity, rollback, scan
from tests.store.children import KILLS, C, in_child, lake, publish_all, publish_version, read_all_the_time
from tests.store.snapshots import target

pytestmark = pytest.mark.long

JOIN_SECONDS = 120


def test_every_failpoint_of_the_store_has_a_kill() -> None:
    """No failpoint of the publish protocol stays untested."""
    assert {kill.partition(":")[0] for kill in KILLS} == {name for name in FAILPOINTS if name.startswith("store.")}


@pytest.mark.parametrize("before", ["nothing", "published", "killed", "rolled back"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_publish_harms_nobody(kill: str, before: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed anywhere, a publish shows readers the old generation or the new, and the re-run ends as if undisturbed."""
    active = _prepare(uri, before, monkeypatch)
    _killed(uri, 9, kill, monkeypatch)

    with open_store(uri) as store:
        assert dict(scan(store, C)) == (lake(9) if kill.endswith("after_flip") else active)

    publish_version(uri, 9)
    with open_store(uri) as store:
        control = store.control(C)
        assert control is not None
        assert (control.clean, control.lease) == (True, None)
        assert parity(store, C, len(lake(9)), target(lake(9)).digest).equal
        assert all(document.cur_g <= (control.active or 0) for document in store.every_document(C))
    publish_version(uri, 10)
    with open_store(uri) as store:
        assert dict(scan(store, C)) == lake(10)
        rollback(store, C)
        assert dict(scan(store, C)) == lake(9)


def test_writers_of_other_processes_compete(uri: str) -> None:
    """Of writers that publish at the same time each either publishes a whole generation or is told that another did."""
    context = get_context("spawn")
    stop, read, written = context.Event(), context.Queue(), context.Queue()
    together = context.Barrier(3)
    writers = [in_child(publish_all, uri, range(n, 120, 3), f"writer {n}", together, written) for n in (1, 2, 3)]
    reader = in_child(read_all_the_time, uri, stop, read)
    outcomes = [written.get(timeout=JOIN_SECONDS) for _ in writers]
    stop.set()
    assert read.get(timeout=JOIN_SECONDS)[2] == []
    for child in (*writers, reader):
        child.join(JOIN_SECONDS)
        assert child.exitcode == 0
    assert sum(won + lost for won, lost in outcomes) == 119
    assert any(lost for _, lost in outcomes), "nobody ever competed"
    with open_store(uri) as store:
        control = store.control(C)
        assert control is not None
        assert control.published is not None
        assert control.taken == sum(won for won, _ in outcomes)
        assert dict(scan(store, C)) == lake(control.published.snapshot_version)


def _prepare(uri: str, before: str, monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Bring a store into a state in which a publish may be killed; returns what readers see."""
    if before == "nothing":
        return {}
    publish_version(uri, 1)
    if before == "published":
        return lake(1)
    if before == "killed":
        _killed(uri, 2, "store.publish.mid_write:2", monkeypatch)
        return lake(1)
    publish_version(uri, 2)
    with open_store(uri) as store:
        rollback(store, C)
    return lake(1)


def _killed(uri: str, version: int, kill: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as armed:
        armed.setenv(VARIABLE, kill)
        child = in_child(publish_version, uri, version)
        child.join(JOIN_SECONDS)
    assert child.exitcode == -SIGKILL
