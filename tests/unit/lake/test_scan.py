"""Rules of reading: which files a scan means, and what it says when one of them is not there."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_assets.errors import InputError
from serving_assets.lake import DayRange, Lake, LakeTable
from serving_assets.lake.storage import Storage
from tests.unit.lake.lake_rows import DAYS, contents, reader, stream, table_in, visible


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """Three days of one or two rows, at version 0."""
    created = table_in(tmp_path)
    created.replace(stream({DAYS[0]: [1, 2], DAYS[1]: [3], DAYS[2]: [4]}), partition_by=("day",))
    return created


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ({}, [1, 2, 3, 4]),
        ({"day": DAYS[1]}, [3]),
        ({"day": DayRange(DAYS[1], DAYS[4])}, [3, 4]),
        ({"day": DAYS[4]}, []),
    ],
)
def test_a_scan_means_the_partitions_it_selects(table: LakeTable, where: dict[str, Any], values: list[int]) -> None:
    """Files, rows and data of a scan are those of the selected days."""
    scan = table.scan(where)
    assert sorted(scan.dataset().to_table()["value"].to_pylist()) == values
    assert scan.rows() == sum(file.rows for file in scan.files()) == len(values)


def test_a_scan_stays_at_its_version(table: LakeTable) -> None:
    """A scan made before a write reads what was there before it, schema included."""
    before = table.scan()
    columns = {"day": pa.array(DAYS[:1]), "value": pa.array([9]), "note": pa.array(["n"])}
    table.replace(reader(columns), where={"day": DAYS[0]})
    assert before.dataset().to_table()["value"].to_pylist() == [1, 2, 3, 4]
    assert "note" not in before.schema().names
    assert table.scan().schema().names == ["day", "value", "note"]


def test_a_scan_can_be_narrowed(table: LakeTable) -> None:
    """Narrowing keeps the version and the choice of files, and adds the condition."""
    table.replace(stream({DAYS[3]: [5], DAYS[4]: [6]}), where={"day": DayRange(DAYS[3], DAYS[4])})
    added = table.added_between(0)
    assert added is not None
    assert added.narrowed({"day": DAYS[3]}).dataset().to_table()["value"].to_pylist() == [5]
    assert added.narrowed({"day": DAYS[0]}).rows() == 0
    with pytest.raises(InputError, match="already has a condition on 'day'"):
        added.narrowed({"day": DAYS[3]}).narrowed({"day": DAYS[4]})


def test_a_missing_version_is_named(table: LakeTable) -> None:
    """A version that does not exist is refused, not replaced by another one."""
    with pytest.raises(InputError, match=r"Version 7 of .*raw/sales cannot be read"):
        table.scan(version=7)


def test_partitions_are_told_without_reading_data(table: LakeTable) -> None:
    """Partition values come from the log alone: they are known with every data file gone."""
    for file in table.scan().files():
        Path(file.uri).unlink()
    assert table.partitions() == [DAYS[0], DAYS[1], DAYS[2]]
    assert table.partitions(where={"day": DayRange(DAYS[1], DAYS[4])}) == [DAYS[1], DAYS[2]]
    with pytest.raises(InputError, match=r"not partitioned by 'value'.*partition columns are: day"):
        table.partitions("value")


def test_a_missing_data_file_is_named(table: LakeTable) -> None:
    """A file that the log names and the disk lacks is an error with its name and the fix; other days are readable."""
    (lost,) = table.scan({"day": DAYS[1]}).files()
    Path(lost.uri).unlink()
    with pytest.raises(InputError, match=rf"{lost.uri} is missing.*Restore it from a backup, or materialize"):
        table.scan().files()
    assert table.scan({"day": DAYS[0]}).rows() == 2


def test_a_truncated_data_file_is_named(table: LakeTable) -> None:
    """A file of another size than the log says is an error, before anything is read."""
    (cut,) = table.scan({"day": DAYS[1]}).files()
    Path(cut.uri).write_bytes(Path(cut.uri).read_bytes()[:-9])
    with pytest.raises(InputError, match=rf"has {cut.bytes - 9:,} bytes, not the {cut.bytes:,} of the log"):
        table.scan().dataset()


def test_a_flipped_byte_in_a_page_is_noticed(table: LakeTable) -> None:
    """A changed byte in a column's values fails the read instead of giving another number."""
    (file,) = table.scan({"day": DAYS[1]}).files()
    content = bytearray(Path(file.uri).read_bytes())
    content[content.index((3).to_bytes(8, "little"))] = 5
    Path(file.uri).write_bytes(content)
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        table.scan({"day": DAYS[1]}).dataset().to_table()


def test_added_rows_are_told_from_kept_ones(table: LakeTable) -> None:
    """Between two versions only new files are read; when rows of the old one are gone, there is no such answer."""
    table.replace(stream({DAYS[3]: [5]}), where={"day": DAYS[3]})
    table.replace(stream({DAYS[4]: [6]}), where={"day": DAYS[4]})
    table.replace(stream({DAYS[3]: [7]}), where={"day": DAYS[3]})

    def added(old: int, new: int | None) -> list[int] | None:
        scan = table.added_between(old, new)
        return None if scan is None else sorted(scan.dataset().to_table()["value"].to_pylist())

    assert added(0, 2) == [5, 6]
    assert added(1, 1) == []
    assert added(0, None) == [6, 7]
    assert added(1, None) is None
    assert added(99, None) is None


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
        st.integers(-(2**63), 2**63 - 1),
        min_size=1,
        max_size=4,
    )
)
def test_any_partition_value_survives(tmp_path_factory: pytest.TempPathFactory, values: dict[str, int]) -> None:
    """Whatever characters a partition value has, it is found by it, read back as it was, and replaced alone."""
    table = table_in(tmp_path_factory.mktemp("values"))
    keys, numbers = pa.array(values.keys()), pa.array(values.values(), pa.int64())
    table.replace(reader({"k": keys, "n": numbers, "x": numbers}), partition_by=("k", "n"))
    assert {row["k"]: row["n"] for row in contents(table)} == values
    assert table.partitions("k") == sorted(values)
    for key, number in values.items():
        assert table.scan({"k": key, "n": number}).rows() == 1
    first = next(iter(values))
    table.replace(reader({"k": pa.array([], pa.string()), "n": numbers[:0], "x": numbers[:0]}), where={"k": first})
    assert table.partitions("k") == sorted(values.keys() - {first})


def test_a_table_of_another_writer_is_read(tmp_path: Path) -> None:
    """Odd characters and nulls in partition values that deltalake's own writer encoded are decoded."""
    rows = pa.table({"k": ["a b/ü%20=x", None, "plain"], "n": [1, 2, 3], "x": [1, 2, 3]})
    write_deltalake(tmp_path / "raw" / "sales", rows, partition_by=["k", "n"])
    table = Lake(str(tmp_path)).table("raw/sales")
    assert sorted(contents(table), key=lambda row: row["n"]) == rows.select(["k", "n", "x"]).to_pylist()
    assert table.scan({"k": "a b/ü%20=x"}).rows() == 1
    assert table.partitions("k") == ["a b/ü%20=x", "plain"]
    assert all(Path(file.uri).exists() for file in table.scan().files())
    assert table.commit_metadata() == {}


def test_other_readers_see_the_same_table(table: LakeTable) -> None:
    """The reader of deltalake itself and the statistics it sees agree with a scan, after several replacements."""
    table.replace(stream({DAYS[1]: [30, 31]}), where={"day": DAYS[1]})
    table.replace(stream({}), where={"day": DAYS[0]})
    theirs = DeltaTable(table.uri)
    found = sorted((row["day"], row["value"]) for row in theirs.to_pyarrow_table().to_pylist())
    assert found == [(DAYS[1], 30), (DAYS[1], 31), (DAYS[2], 4)]
    actions = sorted(pa.table(theirs.get_add_actions(flatten=True)).to_pylist(), key=lambda action: action["path"])
    told = [
        (a["partition.day"], a["num_records"], a["min.value"], a["max.value"], a["null_count.value"]) for a in actions
    ]
    assert told == [(DAYS[1], 2, 30, 31, 0), (DAYS[2], 1, 4, 4, 0)]


def test_a_delta_feature_that_hides_rows_is_refused(table: LakeTable) -> None:
    """A table with deletion vectors is refused: its files hold rows that are no longer in the table."""
    log = Path(table.uri) / "_delta_log" / f"{1:020d}.json"
    protocol = (
        '{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["%s"],"writerFeatures":["%s"]}}'
    )
    log.write_text(protocol % ("deletionVectors", "deletionVectors"))
    with pytest.raises(InputError, match="uses the Delta features deletionVectors"):
        Lake(str(Path(table.uri).parents[1])).table("raw/sales").scan()


def test_a_store_behind_a_uri_works_like_a_folder(tmp_path: Path) -> None:
    """Tables are written, read and listed through deltalake's object stores as well."""
    (tmp_path / "raw" / "sales").mkdir(parents=True)
    table = LakeTable("raw/sales", Storage(f"file://{tmp_path}/raw/sales"))
    table.replace(stream({DAYS[0]: range(300_000), DAYS[1]: [3]}), partition_by=("day",), metadata={"run_id": "r"})
    table.replace(stream({DAYS[1]: [4]}), where={"day": DAYS[1]})
    assert visible(table) == {DAYS[0]: list(range(300_000)), DAYS[1]: [4]}
    assert table.commit_metadata(0) == {"run_id": "r"}
    assert [commit["version"] for commit in table.history()] == [1, 0]
    assert {file.uri.split("/raw/")[0] for file in table.scan().files()} == {f"file://{tmp_path}"}
    with pytest.raises(InputError, match="Nothing was written"):
        table.replace(stream({DAYS[1]: [4]}), where={"day": DAYS[0]})


def test_a_day_range_is_of_days_in_order() -> None:
    """A range counts both its ends, and one that ends before it begins is refused."""
    assert list(DayRange(DAYS[0], DAYS[2]).days()) == list(DAYS[:3])
    assert date(2017, 1, 3) in DayRange(DAYS[0], DAYS[2])
    assert date(2017, 1, 4) not in DayRange(DAYS[0], DAYS[2])
    with pytest.raises(InputError, match="ends on 2017-01-01, before it begins on 2017-01-02"):
        DayRange(DAYS[1], DAYS[0])


def test_the_lake_is_light_to_import() -> None:
    """Importing the lake imports neither pandas nor an engine, so that definitions and the API start fast."""
    code = "import sys, serving_assets.lake; print({'pandas', 'duckdb', 'pyspark', 'dagster'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert found.stdout.strip() == "set()"


def test_a_dataset_prunes_files_by_partition(table: LakeTable) -> None:
    """A filter on the partition column reads only the files of that partition."""
    fragments = list(table.scan().dataset().get_fragments(filter=pads.field("day") == DAYS[1]))
    assert len(fragments) == 1
