"""Two of the ninety simulated days, with one fault, so that the benchmark lives. Not here: its aims, or its scoring."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from benchmarks.ninety.drawing import Fault, live_with
from benchmarks.ninety.faults import KINDS
from benchmarks.ninety.life import Life
from benchmarks.ninety.scoring import score
from serving_assets.demo import DAILY, NEWEST_DAY, SNAPSHOTS, land
from serving_assets.lake import DayRange
from tests.pipeline.slice import DAY, NAME, Bench

FIRST = DAY + timedelta(days=1)
LAST = FIRST + timedelta(days=1)


def stock_shelf(shelf: Path) -> None:
    """The true files of the slice's households for the days after it."""
    land(shelf, FIRST, LAST, ending=NEWEST_DAY, sources=(*DAILY, *SNAPSHOTS))
    with duckdb.connect() as connection:
        for file in (file for source in DAILY for file in (shelf / source).rglob("*.parquet")):
            read = f"read_parquet('{file}', hive_partitioning = false)"
            connection.execute(f"CREATE OR REPLACE TABLE t AS FROM {read} WHERE household_id % 4 = 0")
            connection.execute(f"COPY t TO '{file}' (FORMAT parquet)")


@pytest.mark.long
def test_a_fault_is_told_mended_and_over(bench: Bench, tmp_path: Path) -> None:
    """Half of a day's lines page once the day is landed, nothing is published, and after the fix all is well."""
    one = bench.with_catalog(replace(bench.catalog, use_cases={NAME: bench.use_case}))
    shelf = tmp_path / "shelf"
    stock_shelf(shelf)
    life, fault = Life(one, shelf), Fault(KINDS["half_of_the_lines"], FIRST, 1)
    live_with(life, [fault], FIRST, len(DayRange(FIRST, LAST)))
    found = score([fault.injected(life)], life.watch.told, [], 2)
    told = {(one.asset, one.kind, one.severity) for one in found.true[0]}
    assert ("raw/transactions", "volume", "error") in told
    assert found.true[0][0].at.date() == LAST
    assert found.false_pages == 0
    assert life.published == {FIRST: False, LAST: True}
    assert not life.watch.fails()
    scored: set[date] = set(one.platform.lake.table(f"{NAME}/historic").partitions("scored_for"))
    assert {FIRST, LAST} <= scored
