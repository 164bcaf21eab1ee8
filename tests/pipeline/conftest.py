"""Workspaces over a slice of the real data: one built once and never changed, and copies to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.slice import Bench, copy_of, land_slice, small_catalog


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Tables of all days, a champion, and one published day. Tests must not change it."""
    root = tmp_path_factory.mktemp("built")
    land_slice(root / "data" / "landing")
    bench = Bench(root, small_catalog())
    for outcome in [*bench.tables(), bench.train(), bench.score(), bench.publish()]:
        assert outcome.success, outcome.failures
    return bench


@pytest.fixture
def bench(built: Bench, tmp_path: Path) -> Bench:
    """A copy of the built workspace, to change."""
    return copy_of(built, tmp_path / "bench")
