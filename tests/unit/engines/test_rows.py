"""Rules of deleting rows, and of knowing persons by hash."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.engines import open_engine
from serving_assets.engines.delete_rows import count_rows, delete_rows
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.engines.protocol import Engine, Limits
from serving_assets.lake import Lake, LakeTable

DAYS = [date(2017, 1, day) for day in (1, 2, 3)]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A small one."""
    return open_engine("duckdb", Limits(threads=1, memory="256MB", scratch=tmp_path / "scratch", batch_rows=100))


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    """Three days and two runs of three rows each."""
    rows = [{"day": day, "run": run, "id": n} for day in DAYS for run in ("a b", "c/d") for n in (1, 2, None)]
    schema = pa.schema([("day", pa.date32()), ("run", pa.string()), ("id", pa.int64())])
    table = Lake(str(tmp_path / "lake")).table("raw/visits")
    table.replace(pa.Table.from_pylist(rows, schema).to_reader(), partition_by=("day", "run"), metadata={"merged": "7"})
    return table


def test_only_the_partitions_that_hold_such_a_row_are_rewritten(table: LakeTable, engine: Engine) -> None:
    """Files without a deleted row stay in the new version, and rows for which the condition is null stay, too."""
    before = table.at().paths({"day": DAYS[1]}) | table.at().paths({"run": "c/d"})
    assert delete_rows(engine, table, "id = $id AND run = 'a b' AND day <> DATE '2017-01-02'", {"id": 1}) == 2
    assert before <= table.at().paths()
    assert table.scan().rows() == 16
    assert count_rows(engine, table, "id IS NULL", {}) == 6
    assert table.commit_metadata() == {"merged": "7"}


def test_a_table_loses_all_its_rows(table: LakeTable, engine: Engine) -> None:
    """Deleting every row leaves the table, empty."""
    assert delete_rows(engine, table, "true", {}) == 18
    assert table.scan().rows() == 0


def test_nothing_to_delete_makes_no_version(table: LakeTable, engine: Engine) -> None:
    """Without such a row, nothing is written."""
    assert delete_rows(engine, table, "id = 9", {}) == 0
    assert table.version() == 0


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _named(subjects: PersonHashes, value: object, sql_type: str) -> bool:
    sql = f"SELECT {subjects.condition(['v'])} IS TRUE FROM (SELECT CAST($v AS {sql_type}) AS v)"
    found = _connection().sql(sql, params={"v": value, "secret": subjects.secret}).to_arrow_table()
    return bool(found.column(0)[0].as_py())


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["BIGINT", "VARCHAR"]))
def test_sql_and_python_know_the_same_integer(entity: int, sql_type: str) -> None:
    """An integer key is found in a column of integers and in one of text, and its neighbour is not."""
    subjects = PersonHashes("id", "int64", frozenset(), "a secret")
    known = PersonHashes("id", "int64", frozenset([subjects.hash(entity)]), "a secret")
    assert known.among(entity)
    assert _named(known, entity, sql_type)
    other = entity - 1 if entity > 0 else entity + 1
    assert not known.among(other)
    assert not _named(known, other, sql_type)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_sql_and_python_know_the_same_text(entity: str) -> None:
    """A text key is found as it is, with every blank and every case."""
    subjects = PersonHashes("id", "string", frozenset(), "a secret")
    known = PersonHashes("id", "string", frozenset([subjects.hash(entity)]), "a secret")
    assert known.among(entity)
    assert _named(known, entity, "VARCHAR")
    assert not _named(known, entity + " ", "VARCHAR")


@pytest.mark.parametrize("landed", ["733", " 733", "733.0", "+733", "0733"])
def test_an_integer_is_known_however_it_was_written(landed: str) -> None:
    """A rejected row may hold the key in a form that the contract refuses, and is found all the same."""
    subjects = PersonHashes("id", "int64", frozenset([PersonHashes("id", "int64", frozenset(), "s").hash(733)]), "s")
    assert _named(subjects, landed, "VARCHAR")


@pytest.mark.parametrize(("key", "secret", "dtype"), [("other", "s", "int64"), ("id", "t", "int64")])
def test_a_hash_belongs_to_one_key_and_one_secret(key: str, secret: str, dtype: Literal["int64"]) -> None:
    """The same number under another key, or hashed with another secret, is another person."""
    hashed = PersonHashes("id", "int64", frozenset(), "s").hash(733)
    assert not PersonHashes(key, dtype, frozenset([hashed]), secret).among(733)
