"""The process that alerts is killed again and again while checks of real runs fail, and nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.alert_kills import drill

pytestmark = pytest.mark.long


def test_alerts_survive_kills(tmp_path: Path) -> None:
    """Each incident is opened once and resolved once at a receiver that refuses some and loses answers of others.

    `python -m benchmarks.alert_kills` does the same with 200 kills.
    """
    count = drill(kills=12, seed=3, root=tmp_path)
    assert count.incidents >= 4
    assert (count.opened, count.resolved) == (count.incidents, count.incidents)
    assert (count.pages_opened, count.pages_resolved) == (count.incidents, count.incidents)
    assert (count.lost, count.doubled) == (0, 0)
