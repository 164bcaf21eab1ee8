"""Every check that gates: made to fail for real, and fixed.

Not here: point_in_time (test_point_in_time.py), or what a landing tells of broken rows (test_landing.py).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import dagster as dg
import numpy as np
import pytest

from serving_assets.lake import DayRange
from serving_assets.local_runner.run_assets import Outcome, run_assets
from tests.pipeline.slice import DAY, NAME, Bench
from tests.pipeline.spoiling import (
    alter_documents,
    alter_latest,
    forget_history,
    go_wild,
    lose_entities,
    score_anew,
    spend_infinitely,
    split_baskets,
    spoil_lines,
    tables_again,
    tables_of_day,
)

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Fault:
    """A way to break the line at one check, how far it gets, and the fix."""

    asset: str
    check: str
    spoil: Callable[[Bench], Bench | None]
    run: Callable[[Bench], Outcome]
    said: str
    measured: float
    threshold: float
    stopped: str | None
    fix: Callable[[Bench, Bench], None] = lambda bench, built: None

    @property
    def key(self) -> dg.AssetKey:
        """Of the asset that the check is on."""
        return dg.AssetKey(self.asset.split("/"))


FAULTS = [
    Fault(
        "raw/transactions",
        "rejected_share",
        lambda bench: spoil_lines(bench, 20),
        tables_of_day,
        r"\d+ of 1,\d+ rows rejected \(5\.\d+%\): sales_value is outside \[0, inf\)",
        pytest.approx(0.05, rel=0.02),
        0.01,
        "mapped/baskets",
        tables_again,
    ),
    Fault(
        "mapped/baskets",
        "contract",
        split_baskets,
        tables_of_day,
        r"the key \(day, basket_id\) is not unique: \d+ values occur more than once",
        1,
        0,
        "mapped/household_days",
        tables_again,
    ),
    Fault(
        f"{NAME}/features",
        "contract",
        spend_infinitely,
        Bench.score,
        r"spend_7d is not finite in 20 of \d+ rows",
        1,
        0,
        f"{NAME}/predictions",
        tables_again,
    ),
    *(
        Fault(
            f"{NAME}/predictions",
            "valid_scores",
            lambda bench, value=value: go_wild(bench, value),
            Bench.score,
            rf"score is {said} in \d+ of \d+ rows",
            1,
            0,
            f"{NAME}/historic",
            lambda bench, built: shutil.rmtree(bench.settings.bundles_dir),
        )
        for value, said in ((np.nan, "not finite"), (1.5, "out of range"), (-1e-3, "out of range"))
    ),
    Fault(
        f"{NAME}/predictions",
        "coverage",
        lose_entities,
        Bench.score,
        r"\d+ of \d+ entities are scored \(3\d\.\d+%\)",
        pytest.approx(0.35, abs=0.05),
        0.97,
        f"{NAME}/historic",
    ),
    Fault(
        f"{NAME}/latest",
        "agrees_with_history",
        alter_latest,
        Bench.publish,
        r"\d+ entities disagree",
        1,
        0,
        f"{NAME}/online",
        lambda bench, built: score_anew(bench),
    ),
    Fault(
        f"{NAME}/latest",
        "never_regresses",
        forget_history,
        Bench.publish,
        r"\d+ entities regressed",
        1,
        0,
        f"{NAME}/online",
        lambda bench, built: score_anew(bench),
    ),
    Fault(
        f"{NAME}/online",
        "store_parity",
        alter_documents,
        Bench.publish,
        r"Generation 1 holds \d+ documents, the lake \d+; 14 differ",
        14,
        0,
        None,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{f.asset.split('/')[1]}-{f.check}-{i}" for i, f in enumerate(FAULTS)])
def test_a_fault_stops_the_line_until_it_is_mended(bench: Bench, built: Bench, fault: Fault) -> None:
    """A failed gate stops its run, later runs of what is downstream, and nothing else; fixed, all passes."""
    spoiled = fault.spoil(bench) or bench
    published = spoiled.platform.store.control(NAME)
    outcome = fault.run(spoiled)
    failure = next(said for said in outcome.failures if said.startswith(f"{fault.asset} {fault.check}: "))
    assert re.search(fault.said, failure)
    verdict, made = spoiled.verdict(fault.key, fault.check), {one.asset for one in outcome.made}
    assert (verdict.passed, verdict.blocking, verdict.severity) == (False, True, dg.AssetCheckSeverity.ERROR)
    measured, threshold = (verdict.metadata[name].value for name in ("measured", "threshold"))
    assert measured == fault.measured if fault.measured != 1 else measured >= 1
    assert threshold == fault.threshold
    assert 1 <= len(spoiled.examples(fault.key, fault.check)) <= 10
    retries = spoiled.instance.all_logs(outcome.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    assert not retries
    if fault.stopped:
        assert fault.stopped not in made
        _refused_alone(spoiled, fault)
        assert spoiled.platform.store.control(NAME) == published
    fault.fix(bench, built)
    fixed = fault.run(bench)
    assert fixed.success, fixed.failures
    assert bench.verdict(fault.key, fault.check).passed


def _refused_alone(bench: Bench, fault: Fault) -> None:
    """What reads the failed asset refuses to, also in a run of its own."""
    assert fault.stopped is not None
    asset = dg.AssetKey(fault.stopped.split("/"))
    day = None if fault.stopped.endswith("/online") else DAY
    (refusal,) = run_assets(bench.defs, bench.instance, [asset], day).failures
    where = f" of {DAY}" if day else ""
    assert f"{fault.stopped} does not read {fault.asset}{where}: it failed its check {fault.check}." in refusal


def test_a_wrong_store_is_written_anew(bench: Bench, built: Bench) -> None:
    """After a failed parity the next publish trusts nothing: readers get every document as it should be."""
    alter_documents(bench)
    assert not bench.publish().success
    shown = bench.examples(bench.asset("online"), "store_parity")
    assert {tuple(row) for row in shown} == {("entity", "lake", "store")}
    assert bench.publish().success
    assert bench.documents() == built.documents()


@pytest.mark.parametrize(
    ("asset", "check", "spoil", "run"),
    [
        ("raw/transactions", "rejected_share", lambda bench: spoil_lines(bench, 200), tables_of_day),
        (f"{NAME}/predictions", "coverage", lambda bench: lenient(lose_entities(bench)), Bench.score),
    ],
)
def test_a_warning_stops_nothing(
    bench: Bench, asset: str, check: str, spoil: Callable[[Bench], Bench | None], run: Callable[[Bench], Outcome]
) -> None:
    """Between the two thresholds a check warns, with the lower one, and the run goes on to its end."""
    spoiled = spoil(bench) or bench
    outcome = run(spoiled)
    assert outcome.success
    assert any(said.startswith(f"{asset} {check}: ") for said in outcome.warnings)
    verdict = spoiled.verdict(dg.AssetKey(asset.split("/")), check)
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert verdict.metadata["threshold"].value in (0.001, 0.9)


def lenient(bench: Bench) -> Bench:
    """The workspace with a coverage of 10 % allowed, and scores as those few have them."""
    bound = bench.use_case
    checks = bound.spec.checks.model_copy(update={"coverage_warn": 0.9, "coverage_error": 0.1, "psi_error": 9.0})
    spec = bound.spec.model_copy(update={"checks": checks})
    return bench.with_catalog(replace(bench.catalog, use_cases={NAME: replace(bound, spec=spec)}))


def test_the_worst_day_of_a_range_decides(bench: Bench) -> None:
    """One bad day among good ones in a run fails the run, although hardly any row of the range is bad."""
    spoil_lines(bench, 20)
    transactions = dg.AssetKey(["raw", "transactions"])
    days = DayRange(DAY - timedelta(days=20), DAY)
    outcome = run_assets(bench.defs, bench.instance, [transactions], days)
    assert f"of {DAY} rejected (5." in outcome.failures[0]
    (made,) = outcome.made
    assert made.numbers["rejected_rows"] / made.numbers["rows"] < 0.01
