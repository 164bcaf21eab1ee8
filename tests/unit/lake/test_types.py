"""Rules of the types: what engines hand over, and what a table gives back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from serving_assets.errors import InputError
from tests.unit.lake.lake_rows import contents, reader, table_in

NOON = datetime(2017, 6, 1, 12, tzinfo=UTC)
LOCAL_NOON = datetime(2017, 6, 1, 12)  # noqa: DTZ001

STORED = [
    (pa.array([NOON], pa.timestamp("ns", tz="America/New_York")), pa.timestamp("us", tz="UTC"), NOON),
    (pa.array([NOON], pa.timestamp("s", tz="UTC")), pa.timestamp("us", tz="UTC"), NOON),
    (pa.array([LOCAL_NOON], pa.timestamp("ns")), pa.timestamp("us"), LOCAL_NOON),
    (pa.array([1_500_000_000_123_456_789], pa.timestamp("ns")), pa.timestamp("us"), ...),
    (pa.array(["a"], pa.large_string()), pa.string(), "a"),
    (pa.array(["a"], pa.string_view()), pa.string(), "a"),
    (pa.array(["a"]).dictionary_encode(), pa.string(), "a"),
    (pa.array(["a"], pa.large_string()).dictionary_encode(), pa.string(), "a"),
    (pa.array([b"a"], pa.large_binary()), pa.binary(), b"a"),
    (pa.array([b"ab"], pa.binary(2)), pa.binary(), b"ab"),
    (pa.array([200], pa.uint8()), pa.int16(), 200),
    (pa.array([2**32 - 1], pa.uint32()), pa.int64(), 2**32 - 1),
    (pa.array([7], pa.uint64()), pa.int64(), 7),
    (pa.array([1.5], pa.float16()), pa.float32(), 1.5),
    (pa.array([date(2017, 1, 1)], pa.date64()), pa.date32(), date(2017, 1, 1)),
    (pa.array([Decimal("1.50")], pa.decimal128(12, 2)), pa.decimal128(12, 2), Decimal("1.50")),
    (pa.array([True]), pa.bool_(), True),
    (pa.array([["a"]], pa.large_list(pa.large_string())), pa.list_(pa.string()), ["a"]),
    (pa.array([{"x": "a"}], pa.struct([("x", pa.string_view())])), pa.struct([("x", pa.string())]), {"x": "a"}),
]


@pytest.mark.parametrize(("given", "stored", "value"), STORED, ids=lambda part: str(getattr(part, "type", "")))
def test_a_type_is_stored_as_its_delta_counterpart(
    tmp_path: Path, given: pa.Array, stored: pa.DataType, value: Any
) -> None:
    """Every type that engines hand over is stored as one that Delta knows, its value kept; twice, to meet the table."""
    table = table_in(tmp_path)
    for _ in range(2):
        table.replace(reader({"key": pa.array([1]), "x": given}))
    assert table.schema().field("x").type == stored
    found = contents(table)[0]["x"]
    assert found == value or value is ...


def test_the_zone_of_a_timestamp_changes_no_instant(tmp_path: Path) -> None:
    """A wall-clock time of a zone is stored as the instant it means."""
    there = datetime(2017, 12, 31, 23, 1, tzinfo=ZoneInfo("America/New_York"))
    table = table_in(tmp_path)
    table.replace(reader({"key": pa.array([1]), "x": pa.array([there], pa.timestamp("ms", tz="America/New_York"))}))
    assert contents(table)[0]["x"] == datetime(2018, 1, 1, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize("dtype", [pa.time64("us"), pa.duration("s"), pa.list_(pa.time64("us")), pa.decimal256(50, 2)])
def test_a_type_without_counterpart_is_refused(tmp_path: Path, dtype: pa.DataType) -> None:
    """A type that Delta lacks is refused by the name of its column."""
    with pytest.raises(InputError, match=r"raw/sales\.x is of type .* which a Delta table cannot hold"):
        table_in(tmp_path).replace(reader({"key": pa.array([1]), "x": pa.nulls(1, dtype)}))


def test_a_value_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """An unsigned value beyond the signed range is an error, never another number."""
    with pytest.raises(InputError, match=r"raw/sales\.x: a value of type uint64 does not fit into int64"):
        table_in(tmp_path).replace(reader({"key": pa.array([1]), "x": pa.array([2**63], pa.uint64())}))


@pytest.mark.parametrize("empty", [pa.nulls(1), pa.nulls(1).dictionary_encode()], ids=["null", "dictionary"])
def test_a_column_of_nulls_takes_the_type_of_the_table(tmp_path: Path, empty: pa.Array) -> None:
    """A column in which an engine found only nulls is no change of type."""
    table = table_in(tmp_path)
    table.replace(reader({"key": pa.array([1]), "x": pa.array(["a"])}))
    table.replace(reader({"key": pa.array([2]), "x": empty}))
    assert table.schema().field("x").type == pa.string()
    assert contents(table) == [{"key": 2, "x": None}]
