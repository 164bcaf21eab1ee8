"""Rules of the engine: what a query sees of a table, on both paths to its files, and what it says when it fails.

Not here: landed files (test_contract.py, tests/pipeline/), or memory (test_memory.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_assets.engines import open_engine
from serving_assets.engines.protocol import Engine, Input, Limits, Query, Target
from serving_assets.engines.scored import scored_batches
from serving_assets.errors import ServingAssetsError
from serving_assets.lake import DayRange, Lake, LakeTable
from serving_assets.lake.storage import Storage

DAYS = [date(2017, 1, 1) + timedelta(days=offset) for offset in range(3)]
NOON = datetime(2017, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine with small batches, so that every test has several."""
    return open_engine("duckdb", Limits(threads=2, memory="100MB", scratch=tmp_path / "scratch", batch_rows=2_048))


def tables(folder: Path) -> dict[str, LakeTable]:
    """A table on each path: DuckDB's own reader, Arrow for an address with a scheme, Arrow for a folder with a `=`."""
    local, odd = folder / "we[1]rd 'lake'*", folder / "value=9"
    remote = folder / "remote" / "raw" / "t"
    remote.mkdir(parents=True)
    return {
        "local": Lake(str(local)).table("raw/t"),
        "remote": LakeTable("raw/t", Storage(f"file://{remote}")),
        "below a folder like a partition": Lake(str(odd)).table("raw/t"),
    }


@pytest.fixture(params=["local", "remote", "below a folder like a partition"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> LakeTable:
    """An empty table on each path."""
    return tables(tmp_path)[request.param]


def rows(engine: Engine, source: Input, sql: str = "SELECT * FROM t ORDER BY ALL") -> list[dict[str, Any]]:
    """What a query sees."""
    return engine.collect(Query(sql, {"t": source})).to_pylist()


def write(table: LakeTable, columns: Mapping[str, Any], **options: Any) -> None:
    """Replace the table, or what `where` selects."""
    table.replace(pa.table(dict(columns)).to_reader(), **options)


def test_a_query_sees_the_rows_of_its_scan(table: LakeTable, engine: Engine) -> None:
    """Only the scanned partitions and version are read, with partition columns of their declared types."""
    write(table, {"day": DAYS, "value": [1, 2, 3]}, partition_by=("day",))
    scan = table.scan({"day": DayRange(DAYS[1], DAYS[2])})
    write(table, {"day": DAYS[1:2], "value": [20]}, where={"day": DAYS[1]})
    assert rows(engine, Input(scan)) == [{"day": DAYS[1], "value": 2}, {"day": DAYS[2], "value": 3}]
    assert rows(engine, Input(table.scan({"day": DAYS[1]}))) == [{"day": DAYS[1], "value": 20}]


@pytest.mark.parametrize("where", [{}, {"day": DAYS[0]}, {"day": DAYS[1]}], ids=["all", "old files", "no files"])
def test_columns_are_those_of_the_table(table: LakeTable, engine: Engine, where: dict[str, Any]) -> None:
    """Every column of the table is there with its type, whether some files, or all, or none have it."""
    write(table, {"day": DAYS[:1], "value": [1]}, partition_by=("day",))
    added = {"day": DAYS[2:], "value": [3], "at": [NOON], "odd \"name'": ["x"], "flag": [True], "small": [0.5]}
    write(table, added, where={"day": DAYS[2]})
    found = engine.collect(Query("SELECT * FROM t ORDER BY ALL", {"t": Input(table.scan(where))}))
    assert found.schema.names == [*added]
    assert [str(field.type) for field in found.schema] == [
        "date32[day]", "int64", "timestamp[us, tz=UTC]", "string", "bool", "double"
    ]  # fmt: skip
    first = {"day": DAYS[0], "value": 1, "at": None, "odd \"name'": None, "flag": None, "small": None}
    last = {name: values[0] for name, values in added.items()}
    days = {None: [first, last], DAYS[0]: [first], DAYS[1]: []}
    assert found.to_pylist() == days[where.get("day")]


def test_before_hides_what_is_not_earlier(table: LakeTable, engine: Engine) -> None:
    """Rows at or after the instant are hidden to the microsecond, whatever zone it is told in; without an event too."""
    instants = [NOON - timedelta(microseconds=1), NOON, NOON + timedelta(days=1), None]
    write(table, {"at": pa.array(instants, pa.timestamp("us", "UTC")), "value": [1, 2, 3, 4]})
    scan = table.scan()
    local = NOON.astimezone(datetime.now().astimezone().tzinfo)
    for before in (NOON, local):
        assert [row["value"] for row in rows(engine, Input(scan, "at", before))] == [1]
    assert len(rows(engine, Input(scan, "at"))) == 4
    assert len(rows(engine, Input(scan, None, NOON))) == 4


def test_before_compares_a_date_with_its_local_midnight(table: LakeTable, engine: Engine) -> None:
    """A date counts as its first local moment: the day that begins at the instant is hidden, the one before is not."""
    write(table, {"at": DAYS})
    before = datetime(2017, 1, 2, 5, tzinfo=UTC)  # midnight in New York
    query = Query("FROM t", {"t": Input(table.scan(), "at", before)}, timezone="America/New_York")
    assert engine.collect(query).column("at").to_pylist() == DAYS[:1]


VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@settings(max_examples=20)
@given(keys=st.lists(VALUES, min_size=1, max_size=4, unique=True))
def test_all_paths_give_the_same_rows(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    """Whatever partition values there are, every path to the files gives each row as it was written."""
    folder = tmp_path_factory.mktemp("paths")
    engine = open_engine("duckdb", Limits(threads=1, memory="100MB", scratch=folder / "scratch", batch_rows=100))
    written = {"k": keys, "n": pa.array(range(len(keys)), pa.int32()), "value": [float(n) for n in range(len(keys))]}
    expected = pa.table(written).to_pylist()
    for name, table in tables(folder).items():
        write(table, written, partition_by=("k", "n"))
        assert sorted(rows(engine, Input(table.scan())), key=lambda row: row["n"]) == expected, name


def test_transform_writes_all_queries_in_one_commit(table: LakeTable, engine: Engine) -> None:
    """The rows of several queries are streamed into one version, and none at all is a write too."""
    queries = [Query(f"SELECT range AS id FROM range({first}, {first + 5_000})", {}) for first in (0, 5_000)]
    written = engine.transform(queries, Target(table))
    assert (written.rows, written.version) == (10_000, 0)
    (found,) = rows(engine, Input(table.scan()), "SELECT count(DISTINCT id) AS ids, max(id) AS last FROM t")
    assert found == {"ids": 10_000, "last": 9_999}
    assert engine.transform([Query("SELECT range AS id FROM range(0)", {})], Target(table)).rows == 0
    assert rows(engine, Input(table.scan())) == []


def test_parameters_and_time_zone_reach_the_query(engine: Engine) -> None:
    """`$as_of` is an instant, and dates and hours are local in the query's time zone."""
    sql = "SELECT CAST($as_of AS DATE) AS day, extract(HOUR FROM $as_of) AS hour, '$as_of' AS text -- $as_of"
    found = engine.collect(Query(sql, {}, {"as_of": datetime(2017, 1, 2, 4, 30, tzinfo=UTC)}, "America/New_York"))
    assert found.to_pylist() == [{"day": DAYS[0], "hour": 23, "text": "$as_of"}]


BEYOND_MEMORY = "SELECT list(range) AS ranges FROM range(100000000)"
LATE = "SELECT CASE WHEN range = 150000 THEN error('boom') ELSE 'fine' END AS said FROM range(200000)"


@pytest.mark.parametrize("verb", ["collect", "stream", "transform"])
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        pytest.param("SELECT nothing FROM t", 'Referenced column "nothing" not found', id="binding"),
        pytest.param(LATE, "boom", id="in the middle of the stream"),
        pytest.param(BEYOND_MEMORY, "Out of Memory", id="out of memory"),
    ],
)
def test_a_failing_query_says_so_and_writes_nothing(
    tmp_path: Path, engine: Engine, verb: str, sql: str, told: str
) -> None:
    """Whenever a query fails, the error names its inputs, the reason and the fix, and the target stays as it was."""
    table = tables(tmp_path)["local"]
    write(table, {"said": ["before"]})
    query = Query(sql, {"t": Input(table.scan())})
    runs = {
        "collect": lambda: engine.collect(query),
        "stream": lambda: list(engine.stream(query)),
        "transform": lambda: engine.transform([query], Target(table)),
    }
    with pytest.raises(
        ServingAssetsError, match=rf"(?s)The query over t failed: .*{told}.*raise ENGINE_MEMORY \(now 100MB"
    ):
        runs[verb]()
    assert rows(engine, Input(table.scan())) == [{"said": "before"}]


class Doubler:
    """A scorer with two columns, which remembers how many rows it was given at once."""

    columns = ("double", "half")

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def score(self, batch: pa.RecordBatch) -> Mapping[str, np.ndarray]:
        """Twice the feature, and half of it."""
        self.sizes.append(batch.num_rows)
        values = batch.column("value").to_numpy(zero_copy_only=False)
        return {"double": values * 2, "half": values / 2, "unwanted": values}


def test_queries_at_the_same_time_see_their_own(engine: Engine, tmp_path: Path) -> None:
    """A query that is asked in the middle of another has its own table under the same name, and its own time zone."""
    lake = Lake(str(tmp_path / "lake"))
    one, other = lake.table("raw/one"), lake.table("raw/other")
    write(one, {"x": list(range(5_000))})
    write(other, {"x": [-1]})
    sql = "SELECT x, hour(TIMESTAMPTZ '2017-01-01 12:00:00+00') AS hour FROM t"
    outer = engine.stream(Query(sql, {"t": Input(one.scan())}, timezone="Asia/Tokyo"))
    first = next(outer)
    inner = engine.collect(Query(sql, {"t": Input(other.scan())}, timezone="America/New_York"))
    assert inner.to_pylist() == [{"x": -1, "hour": 7}]
    seen = [row for batch in (first, *outer) for row in batch.to_pylist()]
    assert sorted(row["x"] for row in seen) == list(range(5_000))
    assert {row["hour"] for row in seen} == {21}


def test_score_writes_key_constants_and_scores(table: LakeTable, engine: Engine) -> None:
    """Every feature row gives one row of key, constants with their types, and scores as float64, batch by batch."""
    write(table, {"day": DAYS[:1] * 5_000, "id": range(5_000), "value": range(5_000)}, partition_by=("day",))
    scorer, target = Doubler(), Lake(table.uri.removeprefix("file://") + "-scored").table("raw/scored")
    constants = {"day": DAYS[0], "model_version": "7", "at": NOON}
    features = Input(table.scan({"day": DAYS[0]}))
    written = engine.score(features, scorer, "id", constants, Target(target, {"day": DAYS[0]}, ("day",)))
    assert (written.rows, sum(scorer.sizes)) == (5_000, 5_000)
    assert max(scorer.sizes) <= 2_048
    found = rows(engine, Input(target.scan()), "SELECT * FROM t ORDER BY id")
    assert found[3] == {"id": 3, **constants, "double": 6.0, "half": 1.5}
    assert [row["double"] for row in found] == [2.0 * number for number in range(5_000)]


@pytest.mark.parametrize("batches", [0, 2])
def test_no_rows_are_scored_to_no_rows(batches: int) -> None:
    """Without a batch, or with empty ones, the stream of scores is empty and has all its columns."""
    schema = pa.schema([("id", pa.string()), ("value", pa.float64())])
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    stream = pa.RecordBatchReader.from_batches(schema, [empty] * batches)
    scored = scored_batches(stream, Doubler(), "id", {"day": DAYS[0]}).read_all()
    assert (scored.num_rows, scored.schema.names) == (0, ["id", "day", "double", "half"])
