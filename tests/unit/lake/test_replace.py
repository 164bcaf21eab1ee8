"""Rules of the one write verb: what it replaces, what it refuses, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from serving_assets.errors import ConflictError, InputError
from serving_assets.lake import NO_TABLE, DayRange, Lake, LakeTable
from serving_assets.lake.commit import CONFIGURATION
from tests.unit.lake.lake_rows import DAYS, SCHEMA, contents, parquet_files, reader, stream, table_in, visible


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """Three days of one or two rows, at version 0."""
    created = table_in(tmp_path)
    created.replace(stream({DAYS[0]: [1, 2], DAYS[1]: [3], DAYS[2]: [4]}), partition_by=("day",))
    return created


def test_a_table_that_was_never_written_does_not_exist(tmp_path: Path) -> None:
    """A missing table has no version, schema or partitions, and a scan of it says what to do first."""
    table = table_in(tmp_path)
    assert (table.exists(), table.version(), table.schema(), table.partitions()) == (False, None, None, [])
    with pytest.raises(
        InputError, match=r"raw/sales does not exist.*Materialize the asset that writes raw/sales first"
    ):
        table.scan()


def test_a_day_range_replaces_exactly_its_days(table: LakeTable) -> None:
    """Days inside the range hold the new rows alone, also where there are none; days outside are untouched."""
    written = table.replace(stream({DAYS[1]: [30, 31]}), where={"day": DayRange(DAYS[1], DAYS[2])})
    assert (written.version, written.rows, written.files) == (1, 2, 1)
    assert visible(table) == {DAYS[0]: [1, 2], DAYS[1]: [30, 31]}
    assert visible(table, version=0) == {DAYS[0]: [1, 2], DAYS[1]: [3], DAYS[2]: [4]}


def test_without_where_the_whole_table_is_replaced(table: LakeTable) -> None:
    """A replacement without `where` leaves only the new rows."""
    table.replace(stream({DAYS[4]: [9]}))
    assert visible(table) == {DAYS[4]: [9]}


def test_no_rows_are_a_legal_replacement(table: LakeTable) -> None:
    """Replacing a day with nothing empties it, and the table keeps its schema."""
    written = table.replace(stream({}), where={"day": DAYS[0]})
    assert (written.rows, written.files, written.bytes) == (0, 0, 0)
    assert table.partitions() == [DAYS[1], DAYS[2]]
    assert table.schema() == SCHEMA


def test_a_table_can_be_created_empty(tmp_path: Path) -> None:
    """Creating a table from no rows gives it its schema and partitioning."""
    table = table_in(tmp_path)
    table.replace(stream({}), partition_by=("day",), description="daily sales")
    assert (table.schema(), contents(table), table.partitions()) == (SCHEMA, [], [])
    table.replace(stream({DAYS[0]: [1]}), where={"day": DAYS[0]})
    assert visible(table) == {DAYS[0]: [1]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({DAYS[0]: [7], DAYS[1]: [8, 9]}, "2 rows belong to day 2017-01-02, but only day 2017-01-01 is being replaced"),
        ({DAYS[0]: [7], None: [8]}, "1 rows have no value in the partition column 'day'"),
    ],
)
def test_rows_outside_of_what_is_replaced_are_refused(
    table: LakeTable, rows: dict[date | None, list[int]], message: str
) -> None:
    """A row that belongs elsewhere fails the write: no version, no file left."""
    files = parquet_files(table)
    with pytest.raises(InputError, match=message):
        table.replace(stream(rows), where={"day": DAYS[0]})
    assert table.version() == 0
    assert parquet_files(table) == files


def test_an_error_of_the_source_leaves_no_trace(table: LakeTable) -> None:
    """When the stream of rows breaks, its error is raised as it is, and neither version nor file is left."""
    files = parquet_files(table)

    def broken() -> Iterator[pa.RecordBatch]:
        # Enough rows that some are in a file already when the stream breaks.
        yield pa.record_batch([pa.array([DAYS[0]] * 200_000), pa.array(range(200_000))], schema=SCHEMA)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        table.replace(pa.RecordBatchReader.from_batches(SCHEMA, broken()), where={"day": DAYS[0]})
    assert table.version() == 0
    assert parquet_files(table) == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"where": {"value": 1}}, "cannot be selected by 'value'; its partition columns are day"),
        ({"where": {"day": "2017-01-01"}}, "day is of type date32.* cannot equal '2017-01-01'. Pass a date"),
        ({"where": {"day": datetime(2017, 1, 1)}}, "Pass a date or a DayRange"),  # noqa: DTZ001
        ({"partition_by": ("value",)}, r"is partitioned by \('day',\), not by \('value',\)"),
    ],
)
def test_a_wrong_selection_is_refused(table: LakeTable, arguments: dict[str, Any], message: str) -> None:
    """A condition or partitioning that the table cannot have is refused with what would be right."""
    with pytest.raises(InputError, match=message):
        table.replace(stream({}), **arguments)


@pytest.mark.parametrize(
    ("columns", "partition_by", "message"),
    [
        ({"value": pa.array([1])}, ("day",), "partitioned by 'day', which the new rows lack"),
        ({"day": pa.array([1.5]), "value": pa.array([1])}, ("day",), "cannot be partitioned by 'day' of type double"),
        ({"day": pa.array(DAYS[:1])}, ("day",), "only partition columns"),
        ({"day": pa.array(["", "a"]), "value": pa.array([1, 2])}, ("day",), "have no value in the partition column"),
        ({"a": pa.array([1]), "A": pa.array([1])}, (), "columns 'a' and 'A'"),
        ({"a": pa.array([None])}, (), r"raw/sales\.a is of type null"),
    ],
)
def test_a_table_that_cannot_be_is_not_created(
    tmp_path: Path, columns: dict[str, pa.Array], partition_by: tuple[str, ...], message: str
) -> None:
    """Columns that a partitioned Delta table cannot have are refused, and no table comes to be."""
    table = table_in(tmp_path)
    with pytest.raises(InputError, match=message):
        table.replace(reader(columns), partition_by=partition_by)
    assert not table.exists()


def test_a_new_column_is_null_in_older_rows(table: LakeTable) -> None:
    """A column that the table lacks is added at the end, and older rows have null in it."""
    columns = {"note": pa.array(["n"]), "day": pa.array(DAYS[:1]), "value": pa.array([9])}
    table.replace(reader(columns), where={"day": DAYS[0]})
    assert table.schema() == SCHEMA.append(pa.field("note", pa.string()))
    assert [(row["value"], row["note"]) for row in contents(table)] == [(9, "n"), (3, None), (4, None)]
    assert table.schema(version=0) == SCHEMA


def test_a_column_that_disappears_stays_in_the_table(table: LakeTable) -> None:
    """A column that the new rows lack is null in them and keeps its values in the others."""
    columns = {"note": pa.array(["n"]), "day": pa.array(DAYS[:1]), "value": pa.array([9])}
    table.replace(reader(columns), where={"day": DAYS[0]})
    table.replace(stream({DAYS[1]: [10]}), where={"day": DAYS[1]})
    assert table.schema().names == ["day", "value", "note"]
    assert [(row["value"], row["note"]) for row in contents(table)] == [(9, "n"), (10, None), (4, None)]


def test_a_changed_type_is_refused_with_both_types(table: LakeTable) -> None:
    """A column whose type changes is refused, naming the column, both types and the fix."""
    columns = {"day": pa.array(DAYS[:1]), "value": pa.array(["nine"])}
    with pytest.raises(
        InputError, match=r"raw/sales\.value is int64 in the table and string in the new rows.*migrate raw/sales.*cast"
    ):
        table.replace(reader(columns), where={"day": DAYS[0]})
    assert table.version() == 0


@pytest.mark.parametrize("values", [["nine"], [2**40], [1.5], [None]], ids=["text", "wide", "float", "null"])
def test_a_whole_replacement_may_change_columns_and_types(table: LakeTable, values: list[object]) -> None:
    """A table that is replaced as a whole has the new columns in their new types; older versions keep theirs."""
    table.replace(reader({"note": pa.array(["n"]), "day": pa.array(DAYS[:1]), "value": pa.array([9], pa.int32())}))
    new = pa.array(values)
    table.replace(reader({"day": pa.array(DAYS[:1]), "value": new}))
    assert table.schema() == pa.schema([("day", pa.date32()), ("value", pa.int32() if values == [None] else new.type)])
    assert [row["value"] for row in contents(table)] == values
    assert table.schema(version=0) == SCHEMA
    table.replace(reader({"day": pa.array(DAYS[1:2]), "value": new}), where={"day": DAYS[1]})
    assert [row["value"] for row in contents(table)] == values * 2


@pytest.mark.parametrize("expected_version", [None, 0])
def test_a_later_timestamp_without_zone_leaves_the_table_readable(
    table: LakeTable, expected_version: int | None
) -> None:
    """A timestamp without time zone can be added to a table that had none."""
    at = pa.array([datetime(2017, 1, 1, 9)], pa.timestamp("us"))  # noqa: DTZ001
    columns = {"day": pa.array(DAYS[:1]), "value": pa.array([9]), "at": at}
    table.replace(reader(columns), where={"day": DAYS[0]}, expected_version=expected_version)
    assert table.schema().field("at").type == pa.timestamp("us")
    assert [row["at"] for row in contents(table)] == [datetime(2017, 1, 1, 9), None, None]  # noqa: DTZ001


def test_an_expected_version_that_is_gone_is_a_conflict(table: LakeTable, tmp_path: Path) -> None:
    """A write that names the version it builds on is refused at any other version, and when the table exists or not."""
    table.replace(stream({}), where={"day": DAYS[4]}, expected_version=0)
    for stale in (0, 2, NO_TABLE):
        with pytest.raises(ConflictError, match=f"expected at version {stale} and is at 1"):
            table.replace(stream({}), where={"day": DAYS[4]}, expected_version=stale)
    missing = Lake(str(tmp_path / "lake")).table("raw/none")
    with pytest.raises(ConflictError, match="expected at version 0 and is at -1"):
        missing.replace(stream({}), expected_version=0)
    assert missing.replace(stream({}), expected_version=NO_TABLE).version == 0


def test_each_commit_tells_its_own_metadata(table: LakeTable) -> None:
    """Metadata given to a write is read back for its version, also at older versions of the table."""
    table.replace(stream({}), where={"day": DAYS[0]}, metadata={"run_id": "r1", "note": "über"})
    table.replace(stream({}), where={"day": DAYS[1]}, metadata={"run_id": "r2"})
    assert table.commit_metadata() == {"run_id": "r2"}
    assert table.commit_metadata(1) == {"run_id": "r1", "note": "über"}
    assert table.commit_metadata(0) == {}
    history = table.history()
    assert [(commit["version"], commit["metadata"].get("run_id")) for commit in history] == [
        (2, "r2"),
        (1, "r1"),
        (0, None),
    ]
    assert [commit["version"] for commit in table.history(limit=1)] == [2]
    assert history[2]["timestamp"] <= history[0]["timestamp"]
    assert {commit["operation"] for commit in history} == {"WRITE", "CREATE TABLE"}


def test_a_created_table_keeps_its_versions_readable(table: LakeTable) -> None:
    """A new table is given the log retention that rollbacks to older generations need."""
    log = (Path(table.uri) / "_delta_log" / f"{0:020d}.json").read_text()
    assert all(f'"{key}":"{value}"' in log for key, value in CONFIGURATION.items())


@pytest.mark.parametrize("name", ["sales", "raw/", "Raw/sales", "raw/sales/x", "../raw/sales", "raw/sa-les", "raw/1"])
def test_a_table_has_a_layer_and_a_name(tmp_path: Path, name: str) -> None:
    """A name that is not <layer>/<table> is refused."""
    with pytest.raises(InputError, match="is not a table name"):
        Lake(str(tmp_path)).table(name)


def test_the_lake_lists_its_tables(tmp_path: Path) -> None:
    """Tables are listed sorted by name; other folders and files of the lake are not tables."""
    lake = Lake(f"file://{tmp_path}/a%20lake")
    assert lake.tables() == []
    for name in ("raw/sales", "mapped/days", "raw/sales__rejected"):
        lake.table(name).replace(stream({}))
    (tmp_path / "a lake" / "notes").mkdir()
    (tmp_path / "a lake" / "notes" / "text").mkdir()
    (tmp_path / "a lake" / "readme").write_text("not a table")
    assert lake.tables() == ["mapped/days", "raw/sales", "raw/sales__rejected"]
    assert lake.uri == str(tmp_path / "a lake")
