"""The declared contracts and the mapped tables against all of the real data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from serving_assets.catalog.columns import SQL_TYPES
from serving_assets.catalog.discovery import Catalog, Table, load_catalog
from serving_assets.catalog.spec import Source
from serving_assets.demo import DAILY, TIMEZONE
from serving_assets.settings import PROJECT

CATALOG: Catalog = load_catalog(PROJECT / "serving_assets" / "catalog")
TABLES = [name for name in CATALOG.tables if name != "promotions"]
REPEATED = {"coupons": 4_872}
"""Rows that repeat another one's key in the data as it is; the source's thresholds allow for them."""


@pytest.fixture(scope="module")
def lake(year: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """Every source as declared and every mapped table made of them, all days at once."""
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{TIMEZONE}'")
        for name in TABLES:
            table = CATALOG.tables[name]
            query = table.statement.text if table.statement else raw(table, year.landing)
            connection.execute(f"CREATE TABLE {name} AS {query}")
        yield connection


def raw(table: Table, landing: Any) -> str:
    """A source with its declared types, its instants read as UTC."""
    columns = [
        f"timezone('UTC', {name}) AS {name}"
        if c.dtype == "timestamp"
        else f"CAST({name} AS {SQL_TYPES[c.dtype]}) AS {name}"
        for name, c in table.columns.items()
    ]
    columns += ["dt AS day"] if table.daily else []
    return f"SELECT {', '.join(columns)} FROM '{landing}/{table.name}/{'*/' if table.daily else ''}*.parquet'"


@pytest.mark.parametrize("name", TABLES)
def test_the_contract_holds_on_every_row(lake: duckdb.DuckDBPyConnection, name: str) -> None:
    """Required columns are never empty and numbers lie in their bounds, on the whole year."""
    conditions = {"no rule": "FALSE"}
    for column, contract in CATALOG.tables[name].columns.items():
        if contract.required:
            conditions[f"{column} is required"] = f"{column} IS NULL"
        if outside := contract.bounds.violation_sql(column):
            conditions[f"{column} is out of bounds"] = outside
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions.values())
    broken = lake.execute(f"SELECT {counts} FROM {name}").fetchone()
    assert broken is not None
    assert {rule: n for rule, n in zip(conditions, broken, strict=True) if n} == {}


@pytest.mark.parametrize("name", TABLES)
def test_the_key_names_one_row(lake: duckdb.DuckDBPyConnection, name: str) -> None:
    """Keys are unique but for the repeats that are known, and those stay within the source's threshold."""
    spec = CATALOG.tables[name].spec
    counted = lake.execute(
        f"SELECT count(*), count(*) - count(DISTINCT ({', '.join(spec.key)})) FROM {name}"
    ).fetchone()
    assert counted is not None
    total, repeated = counted
    assert repeated == REPEATED.get(name, 0)
    assert not isinstance(spec, Source) or repeated <= spec.rejected_warn * total


@pytest.mark.parametrize(
    "name", [name for name in TABLES if CATALOG.tables[name].statement and CATALOG.tables[name].daily]
)
@pytest.mark.parametrize("day", ["2017-01-01", "2017-03-12", "2017-11-05", "2017-12-25", "2017-12-31"])
def test_a_day_alone_maps_as_within_the_year(lake: duckdb.DuckDBPyConnection, name: str, day: str) -> None:
    """A daily mapped table gives the same rows for one day as for a range that contains it."""
    statement = CATALOG.tables[name].statement
    assert statement is not None
    with lake.cursor() as alone:
        alone.execute(f"SET TimeZone = '{TIMEZONE}'")
        for table in statement.tables:
            where = f"WHERE day = DATE '{day}'" if CATALOG.tables[table].daily else ""
            alone.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM memory.main.{table} {where}")
        rows = alone.execute(statement.text).fetchall()
        expected = alone.execute(f"SELECT * FROM memory.main.{name} WHERE day = DATE '{day}'").fetchall()
    assert sorted(rows) == sorted(expected)


def test_mapping_loses_no_money_and_no_coupon(lake: duckdb.DuckDBPyConnection) -> None:
    """Spend and redemptions of the household days add up to those of the tills."""
    sums = "(SELECT round(sum(sales_value)) FROM transactions), (SELECT count(*) FROM coupon_redemptions)"
    mapped = "(SELECT round(sum(spend)) FROM household_days), (SELECT sum(coupons_redeemed) FROM household_days)"
    assert lake.execute(f"SELECT {sums}").fetchall() == lake.execute(f"SELECT {mapped}").fetchall()


def test_the_mapped_tables_have_their_grain(lake: duckdb.DuckDBPyConnection) -> None:
    """One row per basket, per household and day with a purchase, per known household, per campaign's household."""
    grain = {"baskets": 155_848, "household_days": 127_431, "households": 801, "household_campaigns": 6_589}
    assert {name: lake.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in grain} == grain


def test_purchases_fall_into_the_hours_of_a_shop(lake: duckdb.DuckDBPyConnection) -> None:
    """Read in the shops' time zone, the quietest hour of the year is 4 in the morning."""
    by_hour = lake.execute("SELECT hour(purchased_at), count(*) FROM baskets GROUP BY 1 ORDER BY 2").fetchall()
    assert (by_hour[0][0], by_hour[-1][0], len(by_hour)) == (4, 17, 24)


def test_only_the_daily_sources_come_by_day() -> None:
    """What the demo drops into folders by day is what the domain declares as daily, and the other way round."""
    domain = CATALOG.domains["complete_journey"]
    assert sorted(source.name for source in domain.sources if source.delivery == "daily") == sorted(DAILY)
