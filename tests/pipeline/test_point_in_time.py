"""No feature sees the future and no label the past: proven by poisoning the one and the other.

Not here: a future that nobody could tell from the past, such as a snapshot without an event time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from serving_assets.engines.protocol import Query
from serving_assets.lake import DayRange
from serving_assets.pipeline.stages.training_set import training_query
from tests.pipeline.slice import DAYS, Bench

DAY = date(2017, 5, 21)
AFTER = DayRange(DAY + timedelta(days=1), DAYS.last)
MIDNIGHT = "TIMESTAMPTZ '2017-05-22 04:00:00+00'"
"""`$as_of` of DAY: the midnight of New York that ends it."""
STRANGERS = 900_000
"""Added to a household's id to make one that never was."""


def poison_landing(bench: Bench) -> None:
    """Deliver all later days anew: amounts a hundredfold, each line twice, a campaign for everyone from tomorrow on."""
    landing = bench.settings.landing
    with duckdb.connect() as connection:
        for day in AFTER.days():
            file = bench.landed("transactions", day)
            connection.execute(
                f"CREATE OR REPLACE TABLE lines AS SELECT * REPLACE (sales_value * 100 AS sales_value) "
                f"FROM read_parquet('{file}', hive_partitioning = false)"
            )
            connection.execute(
                f"COPY (FROM lines UNION ALL SELECT * REPLACE (household_id + {STRANGERS} AS household_id, "
                f"basket_id + 1000000000000 AS basket_id) FROM lines) TO '{file}' (FORMAT parquet)"
            )
        households = f"(SELECT DISTINCT household_id FROM '{landing}/transactions/*/*.parquet')"
        campaign = f"'Type A' AS campaign_type, DATE '{AFTER.first}' AS start_date, DATE '2018-01-01' AS end_date"
        connection.execute(
            f"COPY (SELECT 999 AS campaign_id, household_id FROM {households}) TO '{landing}/campaigns/new.parquet'"
        )
        connection.execute(
            f"COPY (SELECT 999 AS campaign_id, {campaign}) TO '{landing}/campaign_descriptions/new.parquet'"
        )


def trusting(bench: Bench) -> Bench:
    """The workspace whose tables take whatever amounts and however many rows arrive."""
    wide = {"level_error": 1e9, "rise_error": 1e9}
    tables = {
        name: replace(t, spec=t.spec.model_copy(update={"checks": t.spec.checks.model_copy(update=wide)}))
        for name, t in bench.catalog.tables.items()
    }
    return bench.with_catalog(replace(bench.catalog, tables=tables))


def scored(bench: Bench) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Features and predictions of DAY."""
    where = f"day = DATE '{DAY}'"
    return bench.rows("features", where=where), bench.rows("predictions", where=where)


def test_the_future_changes_no_feature_and_no_prediction(bench: Bench) -> None:
    """Whatever arrives for later days, as values, rows or campaigns, a day scored again is the same bit for bit."""
    assert bench.score(DAY).success
    bench = trusting(bench)
    before = scored(bench)
    poison_landing(bench)
    for outcome in bench.tables(AFTER):
        assert outcome.success, outcome.failures
    strangers = bench.table_rows("mapped/household_days", "min(day) AS first", f"household_id > {STRANGERS}")
    assert strangers == [{"first": AFTER.first}]
    assert bench.table_rows("mapped/household_campaigns", "count(*) AS n", "campaign_id = 999") != [{"n": 0}]
    assert bench.score(DAY).success
    assert scored(bench) == before
    assert len(before[0]) == len(before[1]) > 500


def add_late_row(bench: Bench, at: str) -> None:
    """A row of an unknown household, with its event at `at`, in the partition of DAY."""
    late = f"SELECT * REPLACE ({STRANGERS} AS household_id, {at} AS last_purchased_at) FROM t LIMIT 1"
    bench.rewrite("mapped/household_days", f"(FROM t) UNION ALL ({late})", {"day": DAY})


@pytest.mark.parametrize(
    ("at", "hours"), [(MIDNIGHT, 0), (f"{MIDNIGHT} + INTERVAL 30 HOUR", -30)], ids=["at as_of", "after it"]
)
def test_a_look_into_the_future_stops_the_line(bench: Bench, at: str, hours: float) -> None:
    """An input row at or after the instant fails point_in_time, which names it, and nothing is scored."""
    add_late_row(bench, at)
    outcome = bench.score(DAY)
    assert [made.asset for made in outcome.made] == [f"{bench.name}/features"]
    (failure,) = outcome.failures
    assert "point_in_time: household_days has rows at or after 2017-05-22T04:00:00+00:00" in failure
    verdict = bench.verdict(bench.asset("features"), "point_in_time")
    assert (verdict.metadata["measured"].value, verdict.metadata["threshold"].value) == (hours, 0)
    (example,) = bench.examples(bench.asset("features"), "point_in_time")
    assert example["input"] == "household_days"


def test_the_last_moment_of_the_day_is_no_future(bench: Bench) -> None:
    """A row one microsecond before the instant is of the day, and is scored."""
    add_late_row(bench, f"{MIDNIGHT} - INTERVAL 1 MICROSECOND")
    assert bench.score(DAY).success
    assert bench.rows("predictions", "count(*) AS n", f"day = DATE '{DAY}' AND household_id = {STRANGERS}") == [
        {"n": 1}
    ]


def labels(bench: Bench) -> dict[int, float]:
    """The label of every household as of DAY."""
    label = bench.use_case.spec.labels.column
    query = training_query(bench.use_case, bench.platform, DAY)
    found: Any = bench.platform.engine.collect(
        Query(f'SELECT household_id, "{label}" FROM ({query.sql})', query.inputs, query.parameters, query.timezone)
    )
    return dict(zip(*(column.to_pylist() for column in found.columns), strict=True))


def test_labels_look_at_their_days_alone(bench: Bench) -> None:
    """Neither what happened until the instant nor what happens after the horizon changes a label."""
    before = labels(bench)
    assert {0.0, 1.0} == set(before.values())
    known = DAY + timedelta(days=bench.use_case.spec.labels.horizon_days)
    everyone_every_day = """
        SELECT one.* REPLACE (everyone.household_id AS household_id)
        FROM (SELECT DISTINCT household_id FROM t) AS everyone, (SELECT DISTINCT ON (day) * FROM t) AS one
    """
    for days in (DayRange(DAYS.first, DAY), DayRange(known + timedelta(days=1), DAYS.last)):
        bench.rewrite("mapped/household_days", everyone_every_day, {"day": days})
    after = labels(bench)
    assert {household: after[household] for household in before} == before
