"""Rules of removal from a table's folder: what is wanted stays whole, and what nobody names goes when it is old."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from serving_assets.errors import InputError
from serving_assets.lake import AnyOf, LakeTable, forget_history, remove_files, stale_files
from tests.unit.lake.lake_rows import DAYS, parquet_files, stream, table_in, visible

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """Five versions: the first holds two days, each later one replaces the first of them."""
    table = table_in(tmp_path)
    table.replace(stream({DAYS[0]: [0], DAYS[1]: [7]}), partition_by=("day",))
    for value in range(1, 5):
        table.replace(stream({DAYS[0]: [value]}), where={"day": DAYS[0]}, metadata={"value": str(value)})
    return table


def clean(table: LakeTable, **wanted: object) -> None:
    """Remove what nothing wanted names."""
    remove_files(table, stale_files(table, **{"orphans_before": LONG_AGO, **wanted}))  # type: ignore[arg-type]


def readable(table: LakeTable) -> set[int]:
    """The versions that have all their files."""
    found = set()
    for version in range(5):
        try:
            visible(table, version)
        except InputError:
            continue
        found.add(version)
    return found


def test_only_the_newest_version_is_wanted_by_itself(table: LakeTable) -> None:
    """Without a wish, what is left is the newest version, whole."""
    clean(table)
    assert readable(table) == {4}
    assert visible(table) == {DAYS[0]: [4], DAYS[1]: [7]}
    assert len(parquet_files(table)) == 2


def test_kept_versions_stay_whole(table: LakeTable) -> None:
    """A version asked to be kept stays readable, those beside it go, and one that is gone already is no error."""
    clean(table, keep=[1, 99])
    assert readable(table) == {1, 4}
    clean(table, keep=[1, 0])
    assert readable(table) == {1, 4}


@pytest.mark.parametrize("version", range(5))
def test_versions_of_the_window_stay_whole(table: LakeTable, version: int) -> None:
    """The version that was the newest when the window began stays readable, and so does every later one."""
    began = next(entry["timestamp"] for entry in table.history() if entry["version"] == version)
    clean(table, since=began)
    assert readable(table) == set(range(version, 5))


def test_a_window_older_than_the_table_wants_all_of_it(table: LakeTable) -> None:
    """A window that began before the table did removes nothing."""
    assert stale_files(table, since=LONG_AGO, orphans_before=LONG_AGO) == []


@pytest.mark.parametrize("name", ["day=2017-01-01/part-x.parquet", "_delta_log/_commit_x.json.tmp"])
def test_what_no_commit_names_goes_when_it_is_old(table: LakeTable, name: str) -> None:
    """A file that a writer may be about to commit stays until it is old enough to be nobody's."""
    path = Path(table.uri, name)
    path.write_bytes(b"half written")
    age = datetime.now(UTC) - timedelta(days=2)
    os.utime(path, (age.timestamp(), age.timestamp()))
    assert stale_files(table, since=LONG_AGO, orphans_before=age - timedelta(hours=1)) == []
    clean(table, since=LONG_AGO, orphans_before=age + timedelta(hours=1))
    assert not path.exists()
    assert readable(table) == set(range(5))


def test_removing_makes_no_version(table: LakeTable) -> None:
    """Whoever goes by the version sees no change where no row has changed."""
    clean(table)
    assert table.version() == 4


def test_a_log_is_cut_off_before_a_version(table: LakeTable) -> None:
    """What is older than the version asked for is refused by name, and the log says nothing about it any more."""
    forget_history(table, 3)
    assert [entry["version"] for entry in table.history()] == [4, 3]
    assert table.commit_metadata(3) == {"value": "3"}
    assert visible(table, 3)[DAYS[0]] == [3]
    with pytest.raises(InputError, match=r"Version 2 of .*cannot be read.*when a person is erased"):
        table.scan(version=2)
    left = {path.name for path in Path(table.uri, "_delta_log").iterdir()}
    assert left == {f"{3:020d}.checkpoint.parquet", f"{3:020d}.json", f"{4:020d}.json", "_last_checkpoint"}


def test_a_cut_log_can_be_written_on_and_cut_again(table: LakeTable) -> None:
    """After a cut the table takes further versions, and a repeated cut changes nothing."""
    forget_history(table, 4)
    table.replace(stream({DAYS[2]: [5]}), where={"day": DAYS[2]})
    forget_history(table, 4)
    assert visible(table) == {DAYS[0]: [4], DAYS[1]: [7], DAYS[2]: [5]}
    assert table.added_between(1) is None
    clean(table)
    assert visible(table) == {DAYS[0]: [4], DAYS[1]: [7], DAYS[2]: [5]}


def test_partitions_that_lie_apart_are_replaced_together(tmp_path: Path) -> None:
    """A write to some values of a partition column touches no other partition, and refuses rows of others."""
    table = table_in(tmp_path)
    table.replace(stream({day: [1] for day in DAYS}), partition_by=("day",))
    apart = AnyOf(frozenset((DAYS[0], DAYS[3])))
    table.replace(stream({DAYS[0]: [2]}), where={"day": apart})
    assert visible(table) == {DAYS[0]: [2], DAYS[1]: [1], DAYS[2]: [1], DAYS[4]: [1]}
    with pytest.raises(InputError, match="only day in 2017-01-01, 2017-01-04 is being replaced"):
        table.replace(stream({DAYS[1]: [3]}), where={"day": apart})
    with pytest.raises(InputError, match="cannot equal 'Monday'"):
        table.scan({"day": AnyOf(frozenset(["Monday"]))})
    with pytest.raises(InputError, match="names no value"):
        AnyOf(frozenset[date]())
