"""The checks that watch volume, amounts, features, scores, quality and lag: real data broken, and what they say.

Not here: the statistics (tests/unit/monitoring), or the checks of contracts and of the store (test_gates.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import dagster as dg
import duckdb
import pytest

from serving_assets.catalog.checks import Checks
from serving_assets.catalog.discovery import load_catalog
from serving_assets.lake import DayRange
from serving_assets.local_runner.run_assets import Outcome, run_assets
from tests.catalogs import FIXTURE_CATALOG
from tests.pipeline.slice import DAY, NAME, Bench
from tests.pipeline.spoiling import alter_documents, go_wild, replace_lines, tables_of_day

TRANSACTIONS = dg.AssetKey(["raw", "transactions"])
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def lose_most(bench: Bench) -> None:
    """Deliver DAY's transactions again with every fourth line."""
    file = bench.landed("transactions")
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE lines AS FROM read_parquet('{file}', hive_partitioning = false)")
        connection.execute(f"COPY (SELECT * FROM lines WHERE rowid % 4 = 0) TO '{file}' (FORMAT parquet)")


def storm(bench: Bench) -> None:
    """Let the customer database forget the incomes."""
    bench.rewrite("mapped/households", "SELECT * REPLACE (CAST(NULL AS DOUBLE) AS income_thousands) FROM t")


@dataclass(frozen=True)
class Fault:
    """A way to break the data, the check that sees it, and what is no longer made."""

    spoil: Callable[[Bench], None]
    run: Callable[[Bench], Outcome]
    asset: dg.AssetKey
    check: str
    said: str
    stopped: str


FAULTS = {
    "a-quarter-of-the-rows": Fault(lose_most, tables_of_day, TRANSACTIONS, "volume", "against the", "mapped/baskets"),
    "cents-for-euros": Fault(
        lambda bench: replace_lines(bench, "sales_value * 100 AS sales_value"),
        tables_of_day,
        TRANSACTIONS,
        "typical_amounts",
        "times as large. Has its unit changed?",
        "mapped/baskets",
    ),
    "null-storm": Fault(
        storm,
        Bench.score,
        dg.AssetKey([NAME, "features"]),
        "null_rates",
        "income_thousands is missing in 100.0% of",
        f"{NAME}/predictions",
    ),
    "constant-scores": Fault(
        lambda bench: go_wild(bench, 0.5),
        Bench.score,
        dg.AssetKey([NAME, "predictions"]),
        "score_drift",
        "every score is 0.5",
        f"{NAME}/historic",
    ),
    "drifted-scores": Fault(
        lambda bench: go_wild(bench, 0.9),
        Bench.score,
        dg.AssetKey([NAME, "predictions"]),
        "score_drift",
        "1 of 1 column drifted, the farthest is score (PSI",
        f"{NAME}/historic",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_broken_data_is_stopped(bench: Bench, fault: Fault) -> None:
    """What is broken fails its check, in words and numbers, and nothing is made of it."""
    fault.spoil(bench)
    outcome = fault.run(bench)
    assert any(f"{fault.asset.to_user_string()} {fault.check}: " in said for said in outcome.failures), outcome
    verdict = bench.verdict(fault.asset, fault.check)
    assert (verdict.passed, verdict.blocking, verdict.severity) == (False, True, ERROR)
    assert fault.said in (verdict.description or "")
    measured, threshold = (float(str(verdict.metadata[name].value)) for name in ("measured", "threshold"))
    assert abs(measured) >= abs(threshold)
    assert fault.stopped not in {made.asset for made in outcome.made}


def test_a_sound_day_passes_every_check(built: Bench) -> None:
    """On the real data as it is, every check of the newest day passes, and tells its number and threshold."""
    keys = built.defs.resolve_asset_graph().asset_check_keys
    found = built.instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    told = {key: record.evaluation for key, record in found.items() if record.evaluation}
    failed = {key: evaluation.description for key, evaluation in told.items() if not evaluation.passed}
    assert {key.name for key in failed} <= {"volume"}, failed  # of a range of 50 days, some are holidays
    assert all({"measured", "threshold"} <= evaluation.metadata.keys() for evaluation in told.values())
    assert {"volume", "null_rates", "feature_drift", "score_drift", "read_back"} <= {key.name for key in told}


def test_a_lost_department_is_told_and_stops_nothing(bench: Bench) -> None:
    """A tenth of the lines is no volume that anyone would miss; that nothing of a department is sold is an error."""
    file, products = bench.landed("transactions"), bench.settings.landing / "products" / "products.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE lines AS FROM read_parquet('{file}', hive_partitioning = false)")
        kept = f"lines ANTI JOIN (FROM '{products}' WHERE department = 'PRODUCE') USING (product_id)"
        connection.execute(f"COPY (SELECT lines.* FROM {kept}) TO '{file}' (FORMAT parquet)")
    assert tables_of_day(bench).success
    baskets = dg.AssetKey(["mapped", "baskets"])
    assert bench.verdict(baskets, "volume").passed
    verdict = bench.verdict(baskets, "totals")
    assert (verdict.passed, verdict.severity, verdict.blocking) == (False, ERROR, False)
    assert "produce_spend of 2017-05-31 adds up to 0" in (verdict.description or "")
    assert [row["column"] for row in bench.examples(baskets, "totals")] == ["produce_spend"]


def test_drifted_features_are_told_and_stop_nothing(bench: Bench) -> None:
    """Features that have moved are an error with a picture of now and then, and the run goes on."""
    spent = "SELECT * REPLACE (spend * 3 AS spend) FROM t"
    bench.rewrite("mapped/household_days", spent, {"day": DayRange(DAY - timedelta(days=90), DAY)})
    outcome = bench.run("features")
    assert outcome.success
    verdict = bench.verdict(bench.asset("features"), "feature_drift")
    assert (verdict.passed, verdict.blocking, verdict.severity) == (False, False, ERROR)
    assert "data:image/png" in str(verdict.metadata["reference_against_current"].value)
    drifted = {row["column"] for row in bench.examples(bench.asset("features"), "feature_drift")}
    assert "spend_91d" in drifted
    assert "shopping_days_91d" not in drifted


def test_without_a_model_there_is_nothing_to_compare_with(bench: Bench) -> None:
    """Before the first promotion, null rates and drift pass and say why."""
    shutil.rmtree(bench.settings.bundles_dir)
    shutil.rmtree(bench.settings.mlflow_dir)
    assert bench.run("features").success
    for check in ("null_rates", "feature_drift"):
        verdict = bench.verdict(bench.asset("features"), check)
        assert verdict.passed
        assert "no champion yet" in (verdict.description or "")


def test_matured_predictions_are_held_against_what_happened(bench: Bench) -> None:
    """A week later quality is told by segment; foretelling the opposite is an error, and stops nothing."""
    bound = bench.use_case
    checks = bound.spec.checks.model_copy(
        update={"segments": {"shops": "CASE WHEN shopping_days_28d >= 4 THEN 'often' ELSE 'seldom' END"}}
    )
    spec = bound.spec.model_copy(update={"checks": checks})
    told = bench.with_catalog(replace(bench.catalog, use_cases={NAME: replace(bound, spec=spec)}))
    matured = DAY - timedelta(days=7)
    assert told.score(matured).success
    assert told.run("historic").success
    historic = told.asset("historic")
    sound = told.verdict(historic, "matured_quality")
    assert sound.passed, sound.description
    assert sound.metadata["matured_day"].value == str(matured)
    segments = sound.metadata["segments"]
    assert isinstance(segments, dg.TableMetadataValue)
    assert {row.data["segment"] for row in segments.records} == {"", "often", "seldom"}
    told.rewrite(f"{NAME}/historic", "SELECT * REPLACE (1 - score AS score) FROM t", {"scored_for": matured})
    outcome = told.run("historic")
    assert outcome.success
    spoilt = told.verdict(historic, "matured_quality")
    assert (spoilt.passed, spoilt.severity, spoilt.blocking) == (False, ERROR, False)
    assert float(str(spoilt.metadata["measured"].value)) > 0.05


def test_a_first_day_has_nothing_that_matured(built: Bench) -> None:
    """Without predictions a week old, quality passes and says why."""
    verdict = built.verdict(built.asset("historic"), "matured_quality")
    assert verdict.passed
    assert "Nothing has matured" in (verdict.description or "")


def test_a_read_back_reports_of_altered_documents(bench: Bench) -> None:
    """Documents that say something else than the lake are told with both sides; the next publish fixes them."""
    bound = bench.use_case
    spec = bound.spec.model_copy(update={"checks": Checks(read_back_entities=10_000, lag_warn=1e6, lag_error=1e6)})
    watched = bench.with_catalog(replace(bench.catalog, use_cases={NAME: replace(bound, spec=spec)}))
    alter_documents(watched)
    watched.publish()
    verdict = watched.verdict(watched.asset("online"), "read_back")
    assert (verdict.passed, verdict.severity) == (False, WARN)
    assert {tuple(sorted(row)) for row in watched.examples(watched.asset("online"), "read_back")} == {
        ("entity", "expected", "found")
    }
    assert watched.publish().success
    assert watched.verdict(watched.asset("online"), "read_back").passed


def test_an_old_day_made_again_does_not_hide_that_the_newest_is_missing(bench: Bench) -> None:
    """Whichever day is made, the lag is that of the newest; it stops nothing, and a backfill on its way is no alarm."""
    today = bench.with_catalog(load_catalog(FIXTURE_CATALOG))
    old = DAY - timedelta(days=30)
    assert run_assets(today.defs, today.instance, [TRANSACTIONS], old).success
    verdict = today.verdict(TRANSACTIONS, "partition_lag")
    assert (verdict.passed, verdict.severity, verdict.blocking) == (False, ERROR, False)
    assert f"The newest day is {DAY}" in (verdict.description or "")
    assert run_assets(today.defs, today.instance, [TRANSACTIONS], DayRange(old, DAY)).success
    assert "A backfill of 31 days is running" in (today.verdict(TRANSACTIONS, "partition_lag").description or "")


def test_an_old_day_is_judged_by_the_days_before_it(bench: Bench) -> None:
    """A day made again years later is compared with what came before it, not with what has come since."""
    old = DAY - timedelta(days=60)
    assert run_assets(bench.defs, bench.instance, [TRANSACTIONS], old).success
    verdict = bench.verdict(TRANSACTIONS, "volume")
    assert verdict.metadata["days_looked_at"].value == 56
    expected = float(str(verdict.metadata["expected"].value))
    bench.rewrite("raw/transactions", "FROM t LIMIT 10", {"day": DayRange(old + timedelta(days=1), DAY)})
    assert run_assets(bench.defs, bench.instance, [TRANSACTIONS], old).success
    assert float(str(bench.verdict(TRANSACTIONS, "volume").metadata["expected"].value)) == expected
