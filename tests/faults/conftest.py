"""Stores to harm, and an undisturbed night over the slice, gone through once, to hold disturbed ones against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.nights import Night, undisturbed
from tests.pipeline.conftest import built
from tests.pipeline.slice import Bench

__all__ = ["built", "night"]


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.must_run)])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'online.db'}"
    return str(request.getfixturevalue("mongodb_database"))


@pytest.fixture(scope="session")
def night(built: Bench, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The workspace before each part of a night, and what was to see before and after it. Tests must not change it."""
    return undisturbed(built, tmp_path_factory.mktemp("night"))
