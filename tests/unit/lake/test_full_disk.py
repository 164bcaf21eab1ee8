"""Rules of a write that fails for want of space: nothing of it stays on the disk, and the table is what it was."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake.exceptions import DeltaError

from serving_assets.lake import LakeTable
from tests.unit.lake.lake_rows import DAYS, stream, table_in, visible

SIZE = 1 << 20
PAGE = 4096


def files_of(table: LakeTable) -> set[Path]:
    """Every file below the table's folder."""
    return {path for path in Path(table.uri).rglob("*") if path.is_file()}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system; the test of the file size limit needs none")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_no_file_of_a_failed_write(small_disk: Path) -> None:
    """With any number of free pages, a write is whole or leaves the table's folder as it was."""
    table = table_in(small_disk)
    table.replace(stream({DAYS[0]: [1]}), partition_by=("day",))
    ballast, failed, written = small_disk / "ballast", 0, 0
    for pages in range(12):
        before, rows = files_of(table), visible(table)
        ballast.write_bytes(b"")
        free = os.statvfs(small_disk).f_bavail * PAGE
        ballast.write_bytes(b"-" * (free - pages * PAGE))
        assert os.statvfs(small_disk).f_bavail == pages
        try:
            table.replace(stream({DAYS[0]: [pages + 2], DAYS[1]: [pages]}), metadata={"why": "x" * PAGE})
        except (OSError, DeltaError):
            failed += 1
            assert (files_of(table), visible(table)) == (before, rows)
        else:
            written += 1
    assert failed
    assert written


def test_a_commit_that_fails_removes_its_data_files(tmp_path: Path) -> None:
    """A commit whose entry of the log cannot be written, because no file may be so large, leaves no data file."""
    table = table_in(tmp_path)
    table.replace(stream({DAYS[0]: [1]}), partition_by=("day",))
    before, rows = files_of(table), visible(table)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * PAGE, hard))
    try:
        with pytest.raises(OSError, match=r"large|File"):
            table.replace(stream({DAYS[1]: [2]}), metadata={"why": "x" * 64 * PAGE})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (files_of(table), visible(table)) == (before, rows)


def test_a_stream_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """When the rows cannot be made to their end, what was written of them is removed."""
    table = table_in(tmp_path)
    table.replace(stream({DAYS[0]: [1]}), partition_by=("day",))
    before = files_of(table)

    def fail() -> None:
        raise MemoryError("the query was cancelled")

    with pytest.raises(MemoryError):
        table.replace(stream({DAYS[1]: range(200_000)}, meanwhile=fail))
    assert files_of(table) == before
