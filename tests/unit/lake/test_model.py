"""The lake against a dict: any sequence of replacements, seen at every version."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_assets.lake import DayRange
from serving_assets.lake.writer import PartitionedWriter
from tests.unit.lake.lake_rows import DAYS, SCHEMA, stream, table_in, visible

Rows = dict[date, list[int]]

values = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4)


def days_of(condition: DayRange | date | None) -> list[date]:
    """The days that a condition on the column `day` selects; all of them without one."""
    if isinstance(condition, DayRange):
        return list(condition.days())
    return list(DAYS) if condition is None else [condition]


@st.composite
def replacements(draw: st.DrawFn) -> tuple[DayRange | date | None, Rows]:
    """What is replaced (everything, a day or a range) and rows that belong there."""
    first, last = sorted(draw(st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS))))
    condition = draw(st.sampled_from([None, first, DayRange(first, last)]))
    return condition, draw(st.dictionaries(st.sampled_from(days_of(condition)), values))


@settings(max_examples=40, deadline=None)
@given(st.lists(replacements(), min_size=1, max_size=8))
def test_any_sequence_of_replacements_equals_a_dict(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[tuple[DayRange | date | None, Rows]]
) -> None:
    """After any replacements in any order the table equals a dict that saw the same, and so does every version."""
    table = table_in(tmp_path_factory.mktemp("model"))
    expected: list[Rows] = []
    model: Rows = {}
    for condition, rows in sequence:
        kept = {day: numbers for day, numbers in model.items() if day not in days_of(condition)}
        model = kept | {day: sorted(numbers) for day, numbers in rows.items() if numbers}
        expected.append(model)
        where = None if condition is None else {"day": condition}
        written = table.replace(stream(rows), where=where, partition_by=("day",))
        assert written.rows == sum(map(len, rows.values()))
    for version, model in enumerate(expected):
        assert visible(table, version) == model
        assert table.partitions(version=version) == sorted(model)
        assert table.scan(version=version).rows() == sum(map(len, model.values()))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(DAYS), st.integers(0, 99)), max_size=60),
    st.integers(1, 20),
    st.integers(1, 12),
    st.integers(1, 400),
    st.integers(1, 4),
)
def test_no_setting_of_the_writer_changes_the_rows(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[date, int]],
    batch_rows: int,
    row_group_rows: int,
    pending_bytes: int,
    open_files: int,
) -> None:
    """However rows arrive, and however little may be buffered or open at once, the same rows come out."""
    columns = [pa.array([day for day, _ in rows], pa.date32()), pa.array([value for _, value in rows], pa.int64())]
    batches = pa.Table.from_arrays(columns, schema=SCHEMA).to_batches(max_chunksize=batch_rows)
    table = table_in(tmp_path_factory.mktemp("writer"))
    with pytest.MonkeyPatch.context() as patch:
        module = PartitionedWriter.__module__
        patch.setattr(f"{module}.ROW_GROUP_ROWS", row_group_rows)
        patch.setattr(f"{module}.PENDING_BYTES", pending_bytes)
        patch.setattr(f"{module}.OPEN_FILES", open_files)
        table.replace(pa.RecordBatchReader.from_batches(SCHEMA, batches), partition_by=("day",))
    expected = {day: sorted(value for other, value in rows if other == day) for day in {day for day, _ in rows}}
    assert visible(table) == expected
    assert table.scan().rows() == len(rows)
