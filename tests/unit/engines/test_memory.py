"""Rule of memory: it is bounded by settings, not by a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serving_assets.settings import PROJECT

FEW, MANY = 500_000, 5_000_000
BYTES_OF_A_ROW = 72


def peak(folder: Path, rows: int) -> int:
    """Peak memory in MB of a process that transforms and scores so many rows."""
    command = [sys.executable, "-m", "tests.unit.engines.memory_child", folder, str(rows)]
    return int(subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout)


@pytest.mark.long
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """Ten times the rows, 324 MB more, cost less than a third of that in memory."""
    grown = (MANY - FEW) * BYTES_OF_A_ROW // 1_000_000
    assert peak(tmp_path / "many", MANY) - peak(tmp_path / "few", FEW) < grown // 3
