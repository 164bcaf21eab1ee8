"""Rules of reading SQL: what one file may hold, the types and the lineage of its columns, its Spark form.

Not here: SQL against declarations (test_discovery.py).
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.columns import AtLeast, Between, Bounds
from serving_assets.catalog.sql import Schema, Statement
from serving_assets.errors import DeclarationError

INPUTS: dict[str, Schema] = {
    "t": {"a": "int64", "b": "string", "day": "date", "sold": "timestamp"},
    "u": {"a": "int64", "c": "float64"},
}


def read(folder: Path, text: str) -> Statement:
    """The statement as read from a file."""
    path = folder / "query.sql"
    path.write_text(text, encoding="utf-8")
    return Statement.read(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must hold exactly one SELECT, and holds nothing"),
        ("-- nothing yet", "must hold exactly one SELECT, and holds nothing"),
        ("SELECT a FROM t; SELECT c FROM u", "must hold exactly one SELECT, and holds SELECT, SELECT"),
        ("DROP TABLE t", "must hold exactly one SELECT, and holds DROP"),
        ("INSERT INTO t SELECT * FROM u", "must hold exactly one SELECT, and holds INSERT"),
        ("COPY t TO 'file'", "must hold exactly one SELECT, and holds COPY"),
        ("SELECT a\nFROM", "line 2, column 4: does not parse: Expected table name"),
        ("SELECT a,\n  (b\nFROM t", r"line 3, column 4: does not parse: Expecting \)"),
        ("SELECT 'a FROM t", "does not parse: Error tokenizing"),
        ("SELECT * FROM read_csv('file')", r"reads READ_CSV\('file'\), which is not the plain name of a table"),
        ("SELECT * FROM glob('*')", r"reads GLOB\('\*'\), which is not the plain name of a table"),
        ("SELECT * FROM main.t", "reads main.t, which is not the plain name of a table"),
        ("SELECT * FROM 'file.parquet'", "reads file.parquet, which is not among its inputs"),
        ("SELECT * FROM T", r"reads T, which is not among its inputs \(t, u\)"),
        ("SELECT a, a FROM t", "returns the column 'a' twice"),
        ("SELECT t.a, u.a FROM t JOIN u ON t.a = u.a", "returns the column 'a' twice"),
        ("SELECT a, b AS A FROM t", "returns the column 'A' twice"),
        ("SELECT count(*) FROM t", r"column 'count_star\(\)' has no proper name. Give it one with AS"),
        ('SELECT a AS "an a" FROM t', "column 'an a' has no proper name"),
        ("SELECT a AS _a FROM t", "column '_a' has no proper name"),
        (
            "SELECT sum(a) AS s FROM t",
            "column 's' has the type HUGEINT, which the lake does not keep. Cast it to one of",
        ),
        ("SELECT sold::TIMESTAMP AS naive FROM t", "column 'naive' has the type TIMESTAMP,"),
        ("SELECT a + b || day AS x FROM t", "(?s)Binder Error: .*Correct the SQL"),
        ("SELECT a FROM t WHERE lag(a) OVER () = 1", "WHERE clause cannot contain window functions"),
        ("SELECT random() AS r FROM t", "random gives another answer at every run|rand gives another answer"),
        ("SELECT a FROM t WHERE sold < current_timestamp", "current_timestamp gives another answer at every run"),
        ("SELECT a FROM t WHERE day = today()", "current_date gives another answer at every run"),
        ("SELECT a FROM t WHERE sold < $as_of AND day < $as_of_day", "parameters: as_of_day"),
    ],
)
def test_a_bad_query_is_told(tmp_path: Path, text: str, told: str) -> None:
    """Whatever cannot be one SELECT over the inputs, with proper columns, is refused with the file and the fix."""
    with pytest.raises(DeclarationError, match=told) as raised:
        read(tmp_path, text).bind(INPUTS)
    assert raised.value.message.startswith(f"{tmp_path / 'query.sql'}: ")
    assert raised.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'ü;' AS a",
        "SELECT 'ü;' AS a;",
        "SELECT 'ü;' AS a -- done;",
        "SELECT 'ü;' AS a; -- done",
        "SELECT 'ü;' AS a;;\n",
    ],
)
def test_a_query_may_be_put_into_another(tmp_path: Path, text: str) -> None:
    """A semicolon or a comment at the end does no harm where the text is put in parentheses."""
    nested = read(tmp_path, f"SELECT upper(a) AS a FROM ({read(tmp_path, text).text}) AS q")
    assert nested.bind({}) == {"a": "string"}


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("SELECT a FROM t WHERE sold < $as_of", True),
        ("SELECT a FROM t WHERE b = '$as_of' -- $as_of", False),
        ('SELECT a AS "$as_of" FROM t', False),
    ],
)
def test_the_parameter_is_told_from_text(tmp_path: Path, text: str, uses: bool) -> None:
    """`$as_of` in a string, a comment or a name is no parameter."""
    statement = read(tmp_path, text)
    assert statement.uses_as_of is uses
    assert (":as_of" in statement.spark().split("/*")[0]) is uses


def test_the_parameter_is_an_instant_in_the_time_zone(tmp_path: Path) -> None:
    """`$as_of` binds as a timestamp, and its date as a date."""
    assert read(tmp_path, "SELECT $as_of AS at, CAST($as_of AS DATE) AS day").bind({}, "Asia/Tokyo") == {
        "at": "timestamp",
        "day": "date",
    }


A, B, C, UA = ("t", "a"), ("t", "b"), ("u", "c"), ("u", "a")


@pytest.mark.parametrize(
    ("text", "lineage"),
    [
        ("SELECT a, b || day AS x, 1 AS one FROM t", {"a": (A,), "x": (B, ("t", "day")), "one": ()}),
        ("SELECT t.* EXCLUDE (day, sold), c FROM t LEFT JOIN u USING (a)", {"a": (A,), "b": (B,), "c": (C,)}),
        ("SELECT x.a FROM t AS x, u AS y WHERE x.a = y.a", {"a": (A,)}),
        (
            "WITH x AS (SELECT * FROM t), y AS (SELECT a + 1 AS n, b FROM x) SELECT y.n, x.b FROM y JOIN x ON true",
            {"n": (A,), "b": (B,)},
        ),
        (
            "WITH t2 AS (SELECT b AS k, max(a) AS m FROM t GROUP BY b) SELECT m, count(*) AS n FROM t2 GROUP BY m",
            {"m": (A,), "n": ()},
        ),
        ("SELECT sum(c) FILTER (a > 1) / count(*) AS share FROM u", {"share": (UA, C)}),
        ("SELECT CAST(sum(a) OVER (PARTITION BY b) AS BIGINT) AS s FROM t", {"s": (A, B)}),
        ("SELECT a, b FROM t UNION ALL SELECT a, CAST(c AS VARCHAR) FROM u", {"a": (A, UA), "b": (B, C)}),
        ("SELECT a, b FROM t UNION ALL BY NAME SELECT 'x' AS b, c FROM u", {"a": (A,), "b": (B,), "c": (C,)}),
        ("SELECT s.n FROM (SELECT a AS n FROM (SELECT a FROM t)) AS s", {"n": (A,)}),
        ("SELECT (SELECT max(c) FROM u) AS m, a FROM t", {"m": (C,), "a": (A,)}),
        ("SELECT (SELECT max(c) FROM u WHERE u.a = t.a) AS m FROM t", {"m": (A, UA, C)}),
        ("SELECT CASE WHEN a IN (SELECT a FROM u) THEN b END AS x FROM t", {"x": (A, B, UA)}),
        ("SELECT a AS k, k + 1 AS l FROM t", {"k": (A,), "l": (A,)}),
        ("FROM t SELECT b WHERE a > 1", {"b": (B,)}),
        ("SELECT t.a, r.i FROM t, range(3) AS r(i)", {"a": (A,), "i": ()}),
        (
            "WITH RECURSIVE r AS (SELECT a FROM t UNION ALL SELECT a + 1 FROM r WHERE a < 9) SELECT a FROM r",
            {"a": (A,)},
        ),
        ("SELECT COLUMNS('a|b') FROM t", {}),
    ],
)  # fmt: skip
def test_lineage_names_the_columns_upstream(
    tmp_path: Path, text: str, lineage: dict[str, tuple[tuple[str, str], ...]]
) -> None:
    """Each output column is traced to the columns it is made of, through joins, unions, aggregates, subqueries."""
    statement = read(tmp_path, text)
    bound = statement.bind(INPUTS)
    found = statement.lineage(INPUTS)
    assert found == lineage
    assert not lineage or list(found) == list(bound)


def test_lineage_of_a_long_chain_is_quick(tmp_path: Path) -> None:
    """Each step of a query is read once, however often it is named: 24 doublings would be 16 million paths."""
    steps = ", ".join(f"s{n} AS (SELECT x.a, y.b FROM s{n - 1} AS x, s{n - 1} AS y)" for n in range(1, 25))
    assert read(tmp_path, f"WITH s0 AS (SELECT * FROM t), {steps} SELECT a, b FROM s24").lineage(INPUTS) == {
        "a": (A,),
        "b": (B,),
    }


def test_spark_reads_what_is_written_for_it(tmp_path: Path) -> None:
    """The Spark form parses as Spark SQL and keeps the parameter."""
    spark = read(tmp_path, "SELECT date_diff('day', day, CAST($as_of AS DATE)) AS n FROM t QUALIFY n > 1").spark()
    assert sqlglot.parse_one(spark, read="spark")
    assert ":as_of" in spark


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_bounds_in_sql_are_exact(one: float, other: float) -> None:
    """A bound reads back from SQL and from the reason of a rejected row as the same number, to the last digit."""
    low, high = sorted((one, other))
    bounds = Between(low, high)
    assert [float(side.split()[-1]) for side in (bounds.violation_sql("x") or "").split(" OR ")] == [low, high]
    assert [float(side) for side in str(bounds).strip("[]").split(", ")] == [low, high]


def test_open_bounds_say_nothing() -> None:
    """An open side is no condition, and two of them are none at all."""
    assert Bounds().violation_sql("x") is None
    assert AtLeast(1_234_567).violation_sql("x") == "x < 1234567"
    assert str(AtLeast(0)) == "[0, inf)"
    with pytest.raises(ValueError, match="finite"):
        AtLeast(math.inf)
