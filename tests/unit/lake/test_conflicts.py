"""Rules of two writers: which of two overlapping writes wins, and that no row is lost or doubled."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from serving_assets.errors import ConflictError
from serving_assets.lake import NO_TABLE
from tests.unit.lake.lake_rows import DAYS, parquet_files, stream, table_in, visible

FIRST, SECOND, THIRD = ({"day": day} for day in DAYS[:3])
OLD: dict[date | None, list[int]] = {DAYS[0]: [1]}

Case = tuple[dict[date | None, list[int]], dict[str, Any] | None, dict[date | None, list[int]], dict[str, Any] | None]

CONFLICTS: dict[str, Case] = {
    "the same partition": ({DAYS[0]: [10]}, FIRST, {DAYS[0]: [20]}, FIRST),
    "the same partition, emptied by the second": ({DAYS[0]: [10]}, FIRST, {}, FIRST),
    "the same new partition": ({DAYS[1]: [10]}, SECOND, {DAYS[1]: [20]}, SECOND),
    "both the whole table": ({DAYS[1]: [10]}, None, {DAYS[2]: [20]}, None),
    "a new partition, then the whole table": ({DAYS[1]: [10]}, SECOND, {DAYS[2]: [20]}, None),
    "the whole table, then a partition that it emptied": ({DAYS[1]: [10]}, None, {DAYS[0]: [20]}, FIRST),
}

COMPATIBLE: dict[str, Case] = {
    "two new partitions": ({DAYS[1]: [10]}, SECOND, {DAYS[2]: [20]}, THIRD),
    "an old and a new partition": ({DAYS[1]: [10]}, SECOND, {DAYS[0]: [20]}, FIRST),
    "the whole table, then a partition new to it": ({DAYS[1]: [10]}, None, {DAYS[2]: [20]}, THIRD),
}


@pytest.mark.parametrize("case", CONFLICTS.values(), ids=CONFLICTS)
def test_the_later_of_two_overlapping_writes_is_refused(tmp_path: Path, case: Case) -> None:
    """When both replace the same thing, the first commit stays as it is and the second leaves nothing."""
    early, early_where, late, late_where = case
    table = table_in(tmp_path)
    table.replace(stream(OLD), partition_by=("day",))
    after_first: list[Any] = []

    def first() -> None:
        table_in(tmp_path).replace(stream(early), where=early_where)
        after_first.extend([visible(table), parquet_files(table)])

    with pytest.raises(ConflictError, match="was not written: another writer replaced"):
        table.replace(stream(late, meanwhile=first), where=late_where)
    assert [visible(table), parquet_files(table)] == after_first
    assert table.version() == 1


@pytest.mark.parametrize("case", COMPATIBLE.values(), ids=COMPATIBLE)
def test_writes_to_different_partitions_both_land(tmp_path: Path, case: Case) -> None:
    """When neither replaces what the other wrote, the table holds what one after the other would have left."""
    early, early_where, late, late_where = case
    one_by_one, table = table_in(tmp_path / "serial"), table_in(tmp_path)
    for written in (one_by_one, table):
        written.replace(stream(OLD), partition_by=("day",))
    one_by_one.replace(stream(early), where=early_where)
    one_by_one.replace(stream(late), where=late_where)
    table.replace(
        stream(late, meanwhile=lambda: table_in(tmp_path).replace(stream(early), where=early_where)), where=late_where
    )
    assert visible(table) == visible(one_by_one)


def test_a_pinned_write_refuses_any_commit_in_between(tmp_path: Path) -> None:
    """With an expected version, also a commit to another partition is a conflict."""
    table = table_in(tmp_path)
    table.replace(stream(OLD), partition_by=("day",))
    late = stream({DAYS[2]: [20]}, meanwhile=lambda: table.replace(stream({DAYS[1]: [10]}), where=SECOND))
    with pytest.raises(ConflictError, match="another writer committed version 1"):
        table.replace(late, where=THIRD, expected_version=0)
    assert visible(table) == {DAYS[0]: [1], DAYS[1]: [10]}


@pytest.mark.parametrize(
    ("where", "expected_version", "wins"),
    [(THIRD, None, True), (SECOND, None, False), (None, None, False), (THIRD, NO_TABLE, False)],
    ids=["another partition", "the same partition", "the whole table", "pinned to no table"],
)
def test_of_two_creators_the_second_adds_or_is_refused(
    tmp_path: Path, where: dict[str, Any] | None, expected_version: int | None, wins: bool
) -> None:
    """Two writers that create a table at once both land when their partitions differ; else the first one stays."""
    table = table_in(tmp_path)
    days: dict[date | None, list[int]] = {DAYS[1] if where == SECOND else DAYS[2]: [20]}
    late = stream(
        days,
        meanwhile=lambda: table_in(tmp_path).replace(stream({DAYS[1]: [10]}), where=SECOND, partition_by=("day",)),
    )
    if wins:
        assert table.replace(late, where=where, partition_by=("day",)).version == 1
        assert visible(table) == {DAYS[1]: [10], DAYS[2]: [20]}
    else:
        with pytest.raises(ConflictError):
            table.replace(late, where=where, partition_by=("day",), expected_version=expected_version)
        assert visible(table) == {DAYS[1]: [10]}
