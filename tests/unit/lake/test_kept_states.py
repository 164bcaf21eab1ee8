"""Rules of the states that a table keeps: whatever others do to the log meanwhile, what is read is what is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from serving_assets.errors import InputError
from serving_assets.lake import LakeTable, Storage, StoredFile, forget_history, log, stale_files
from tests.unit.lake.lake_rows import DAYS, stream, table_in, visible
from tests.unit.lake.test_vacuum import LONG_AGO


def write(table: LakeTable, value: int) -> None:
    """One more version, with this row."""
    table.replace(stream({DAYS[0]: [value]}), partition_by=("day",))


@pytest.fixture
def ours(tmp_path: Path) -> LakeTable:
    """A table of three versions, whose states are kept."""
    table = table_in(tmp_path)
    for value in range(3):
        write(table, value)
        assert visible(table) == {DAYS[0]: [value]}
    return table


@pytest.fixture
def theirs(ours: LakeTable) -> LakeTable:
    """The same table, as another process has it."""
    return LakeTable(ours.name, ours.storage)


class Interrupted(Storage):
    """A folder in which something happens after the first file of a question has been looked at."""

    then: Callable[[], None]

    def find(self, paths: list[str]) -> list[StoredFile | None]:
        first = super().find(paths[:1])
        if then := self.__dict__.pop("then", None):
            then()
        return first + super().find(paths[1:])


def interrupted(table: LakeTable, then: Callable[[], None]) -> LakeTable:
    """`table` with what it keeps, and with `then` in the middle of its next look."""
    storage = Interrupted(table.storage.uri)
    storage.__dict__["then"] = then
    return replace(table, storage=storage)


def test_what_others_commit_is_seen(ours: LakeTable, theirs: LakeTable) -> None:
    """The next look sees a commit of somebody else, and the versions before it as they were."""
    write(theirs, 7)
    assert (ours.version(), visible(ours)) == (3, {DAYS[0]: [7]})
    assert visible(ours, 2) == {DAYS[0]: [2]}


def test_a_version_that_others_gave_up_is_gone(ours: LakeTable, theirs: LakeTable) -> None:
    """A state is not remembered beyond its commit."""
    forget_history(theirs, 2)
    assert (ours.version(), visible(ours)) == (2, {DAYS[0]: [2]})
    with pytest.raises(InputError, match="Version 1"):
        ours.at(1)


def test_a_table_made_anew_is_another(ours: LakeTable, theirs: LakeTable) -> None:
    """The same version numbers of a table that was removed and written again are read again."""
    shutil.rmtree(ours.uri)
    assert not ours.exists()
    for value in (4, 5, 6):
        write(theirs, value)
    assert (ours.version(), visible(ours)) == (2, {DAYS[0]: [6]})
    assert visible(ours, 1) == {DAYS[0]: [5]}


def test_a_log_that_is_cut_meanwhile_hides_nothing(ours: LakeTable, theirs: LakeTable) -> None:
    """Commits, and the removal of all before them, in the middle of a look: what is seen is the newest."""

    def go_on() -> None:
        write(theirs, 8)
        write(theirs, 9)
        forget_history(theirs, 4)

    assert interrupted(ours, go_on).version() == 4


def test_what_is_committed_meanwhile_is_not_stale(
    ours: LakeTable, theirs: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that somebody commits while stale files are looked for keeps its files."""
    read = log.commits

    def committed_first(storage: Storage) -> list[log.Commit]:
        write(theirs, 9)
        return read(storage)

    monkeypatch.setattr(log, "commits", committed_first)
    stale = {file.path for file in stale_files(ours, orphans_before=LONG_AGO)}
    assert len(stale) == 2
    assert not stale & theirs.at(3).paths()
    assert visible(theirs) == {DAYS[0]: [9]}
