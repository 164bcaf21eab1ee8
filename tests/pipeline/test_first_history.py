"""A first history: what comparisons with other days find before the first publication warns, and blocks nothing.

Not here: the thresholds (tests/unit/monitoring/test_volume.py), or what is refused later (test_monitoring.py).
"""

from __future__ import annotations

import shutil
from datetime import timedelta

import dagster as dg
import duckdb

from serving_assets.local_runner.run_assets import run_assets
from serving_assets.pipeline.stages.first_history import NOTE, first_published
from tests.pipeline.slice import DAY, NAME, Bench

TRANSACTIONS = dg.AssetKey(["raw", "transactions"])


def deliver_a_twentieth(bench: Bench) -> bool:
    """Deliver one line of twenty of the newest day's tills, and report whether the day is made."""
    file = bench.landed("transactions")
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE lines AS FROM read_parquet('{file}', hive_partitioning = false)")
        connection.execute(f"COPY (FROM lines WHERE rowid % 20 = 0) TO '{file}' (FORMAT parquet)")
    return run_assets(bench.defs, bench.instance, [TRANSACTIONS], DAY).success


def test_before_the_first_publication_a_comparison_warns(bench: Bench) -> None:
    """A day that would be refused in operation is made, with a warning that says why it does not block."""
    shutil.rmtree(bench.settings.data_dir / "lake" / NAME / "publications")
    assert deliver_a_twentieth(bench)
    verdict = bench.verdict(TRANSACTIONS, "volume")
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert NOTE in (verdict.description or "")


def test_after_it_the_same_day_is_refused(bench: Bench) -> None:
    """The published day and those after it are judged as strictly as ever."""
    assert not deliver_a_twentieth(bench)
    verdict = bench.verdict(TRANSACTIONS, "volume")
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert NOTE not in (verdict.description or "")


def test_the_first_publication_stays_the_first(bench: Bench) -> None:
    """An older day that is scored and published later moves nothing."""
    assert first_published(bench.instance, bench.platform, bench.use_case) == DAY
    assert bench.run("features", "predictions", "historic", day=DAY - timedelta(days=1)).success
    assert bench.publish().success
    assert first_published(bench.instance, bench.platform, bench.use_case) == DAY
