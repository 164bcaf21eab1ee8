"""Workspaces over a slice of the real data: one built once and never changed, and copies to change."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tests.pipeline.slice import Bench, copy_of, land_slice, small_catalog


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Tables of all days, a champion, and one published day. Tests must not change it.

    Built by the first of the session's processes that needs it: it takes half a minute of computing.
    """
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built"
    bench, complete = Bench(root, small_catalog()), root / "complete"
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            _build(bench)
            complete.touch()
    return bench


def _build(bench: Bench) -> None:
    land_slice(bench.root / "data" / "landing")
    for outcome in [*bench.tables(), bench.train(), bench.score(), bench.publish()]:
        assert outcome.success, outcome.failures


@pytest.fixture
def bench(built: Bench, tmp_path: Path) -> Bench:
    """A copy of the built workspace, to change."""
    return copy_of(built, tmp_path / "bench")
