"""What features.sql and labels.sql of purchase_propensity say of households whose shopping is known by heart."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_assets.catalog.columns import SQL_TYPES
from serving_assets.catalog.discovery import load_catalog
from serving_assets.catalog.sql import Statement
from serving_assets.settings import PROJECT

CATALOG = load_catalog(PROJECT / "serving_assets" / "catalog")
USE_CASE = CATALOG.use_cases["purchase_propensity"]
AS_OF = date(2017, 11, 6)
"""The day after the autumn's clock change: the last 24 hours before it are 25."""

SPENDING = [name for name in CATALOG.tables["household_days"].columns if name.endswith(("_spend", "_discount"))]
COUNTS = ["morning_baskets", "evening_baskets", "departments", "coupons_redeemed"]

Days = list[tuple[int, int, float]]
"""Days ago, baskets and spend of each shopping day."""


def run(statement: Statement, days: Days, campaigns: list[tuple[date, date]]) -> list[dict[str, Any]]:
    """Rows of the statement when all there is is household 1, its shopping days, and the campaigns it was sent."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        for name in USE_CASE.spec.features.inputs:
            columns = ", ".join(f"{column} {SQL_TYPES[dtype]}" for column, dtype in CATALOG.tables[name].schema.items())
            connection.execute(f"CREATE TABLE {name} ({columns})")
        for ago, baskets, spend in days:
            known = {"household_id": 1, "day": AS_OF - timedelta(days=ago), "baskets": baskets, "items": 2 * baskets}
            zero = dict.fromkeys((*SPENDING, *COUNTS), 0)
            _insert(connection, "household_days", zero | known | {"spend": spend, "largest_basket": spend})
        for n, (start, end) in enumerate(campaigns):
            row = {"household_id": 1, "campaign_id": n, "starts_at": start, "last_day": end}
            _insert(connection, "household_campaigns", row)
        result = connection.execute(statement.text.replace("$as_of", f"CAST('{AS_OF} 00:00:00' AS TIMESTAMPTZ)"))
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _insert(connection: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def features(days: Days, campaigns: list[tuple[date, date]] | None = None) -> dict[str, Any]:
    """The one row of features."""
    (row,) = run(USE_CASE.features, days, campaigns or [])
    return row


@pytest.mark.parametrize(
    ("ago", "windows"),
    [(1, (1, 1, 1)), (7, (1, 1, 1)), (8, (0, 1, 1)), (28, (0, 1, 1)), (29, (0, 0, 1)), (91, (0, 0, 1))],
)
def test_a_window_ends_with_the_day_that_has_just_ended(ago: int, windows: tuple[int, int, int]) -> None:
    """Day 1 is yesterday as seen from $as_of, and a window of n days holds the days 1 to n, over a clock change too."""
    row = features([(ago, 1, 10.0)])
    assert row["days_since_last_purchase"] == ago
    assert tuple(row[f"shopping_days_{n}d"] for n in (7, 28, 91)) == windows
    assert row["shopping_weeks_91d"] == 1
    assert row["shopping_weeks_28d"] == windows[1]


def test_rhythm_is_that_of_the_shopping_days() -> None:
    """A household that shops every fourteenth day has a gap of 14 and one weekday, and is overdue by half on day 21."""
    row = features([(21, 1, 10.0), (35, 2, 20.0), (49, 1, 30.0)])
    assert (row["mean_gap_91d"], row["overdue_ratio_91d"]) == (14, 1.5)
    assert row["favourite_weekday_share_91d"] == 1
    assert (row["shopping_weeks_28d"], row["shopping_weeks_91d"]) == (1, 3)
    assert (row["baskets_91d"], row["spend_91d"], row["spend_per_basket_91d"]) == (4, 60, 15)


def test_what_is_not_known_is_null() -> None:
    """A single day has no gap, an unknown household no age, one never addressed no campaign, no spend no share."""
    row = features([(3, 1, 0.0)])
    unknown = {name for name, value in row.items() if value is None}
    assert unknown == {
        "mean_gap_91d",
        "overdue_ratio_91d",
        "discount_rate_91d",
        "days_since_campaign_start",
        "days_until_campaign_end",
        *("age_years", "income_thousands", "persons", "kids"),
        *(f"{kind}_share_91d" for kind in ("private_label", "fuel", "drugstore", "produce", "meat")),
    }


@pytest.mark.parametrize(
    ("start", "end", "addressed", "active"),
    [(-10, -1, 1, 0), (-10, 0, 1, 1), (-1, 5, 1, 1), (0, 5, 0, 0), (1, 5, 0, 0)],
    ids=["over", "last day ahead", "began yesterday", "begins now", "begins later"],
)
def test_a_campaign_counts_from_its_first_moment_to_its_last_day(
    start: int, end: int, addressed: int, active: int
) -> None:
    """A campaign that begins at or after $as_of is not known, and one is active while days of it lie ahead."""
    row = features([(3, 1, 5.0)], [(AS_OF + timedelta(days=start), AS_OF + timedelta(days=end))])
    assert (row["campaigns_addressed"], row["campaigns_active"]) == (addressed, active)
    assert row["days_since_campaign_start"] == (-start if addressed else None)


@settings(max_examples=20)
@given(st.permutations([(n, 1 + n % 3, n / 7) for n in range(1, 92, 4)]))
def test_the_order_of_the_rows_changes_no_digit(days: Days) -> None:
    """Features are equal bit for bit in whatever order the rows are read."""
    assert features(days) == features(sorted(days))


def test_whoever_shops_has_one_label() -> None:
    """A household with several shopping days in the window has the label 1 once."""
    assert run(USE_CASE.labels, [(-1, 1, 5.0), (-3, 2, 5.0)], []) == [{"household_id": 1, "label": 1.0}]


def test_the_trained_estimator_is_the_same_each_time() -> None:
    """Training twice on the same rows gives the same probabilities, with missing values among the features."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(7)
    rows = pd.DataFrame(random.normal(size=(3_000, 4)), columns=list("abcd"), dtype="float32").mask(
        random.random((3_000, 4)) < 0.2
    )
    labels = pd.Series((rows["a"].fillna(0) + random.normal(size=3_000) > 0).astype(float))
    first, second = (USE_CASE.train(rows, labels).predict_proba(rows)[:, 1] for _ in range(2))
    assert (first == second).all()
    assert first[labels == 1].mean() > first[labels == 0].mean() + 0.1
