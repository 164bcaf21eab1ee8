"""What is missing is named with its fix; what a retry cannot cure is not retried, and what it can is.

Not here: missing deliveries (test_unusable_deliveries.py), or checks that fail (test_gates.py).
"""

from __future__ import annotations

import shutil
from datetime import date
from typing import Any

import dagster as dg
import pytest

from serving_assets.local_runner.run_assets import Outcome, run_assets
from serving_assets.pipeline.stages import step
from serving_assets.store import Publication
from tests.pipeline.slice import DAY, NAME, Bench


def retries(bench: Bench, outcome: Outcome) -> int:
    """How often a step of the run was tried again."""
    return len(bench.instance.all_logs(outcome.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY))


def test_features_name_the_days_they_lack(bench: Bench) -> None:
    """Features of a window with missing days are refused at once, with the days and the command that makes them."""
    outcome = bench.score(date(2017, 6, 3))
    assert outcome.failures == (
        f"{NAME}/features reads mapped/household_days from 2017-03-05 to 2017-06-03; "
        "it lacks 3 days: 2017-06-01, 2017-06-02, 2017-06-03. "
        "Materialize them first: serving-assets backfill --from 2017-06-01 --to 2017-06-03.",
    )
    assert (outcome.made, retries(bench, outcome)) == ((), 0)


def test_a_mapped_table_is_not_made_of_a_day_that_never_landed(bench: Bench) -> None:
    """Without its raw day a mapped table is refused, instead of being empty."""
    (failure,) = run_assets(bench.defs, bench.instance, [dg.AssetKey(["mapped", "baskets"])], date(2017, 6, 1)).failures
    assert "mapped/baskets reads raw/transactions from 2017-06-01 to 2017-06-01; it lacks 2017-06-01." in failure


def test_a_history_is_not_made_of_a_day_without_predictions(bench: Bench) -> None:
    """Historic alone, for a day that was never scored, says what to make first."""
    (failure,) = bench.run("historic", day=date(2017, 5, 1)).failures
    assert f"{NAME} has no predictions for 2017-05-01. Materialize predictions for it first." in failure


def test_without_a_champion_the_training_is_named(bench: Bench) -> None:
    """Before the first promotion features are made, and scoring says what to do; it is not retried."""
    for folder in (bench.settings.mlflow_dir, bench.settings.bundles_dir):
        shutil.rmtree(folder)
    outcome = bench.score()
    assert [made.asset for made in outcome.made] == [f"{NAME}/features"]
    (failure,) = outcome.failures
    assert f"{NAME} has no champion. Train and promote first" in failure
    assert retries(bench, outcome) == 0


def test_training_says_how_much_history_it_needs(bench: Bench) -> None:
    """A history too short for the declared holdout is refused with the number of as-of days that there are."""
    config = {f"{NAME}__training_set": {"config": {"through": "2017-04-15"}}}
    outcome = run_assets(bench.defs, bench.instance, [bench.asset("training_set")], config=config)
    (failure,) = outcome.failures
    assert "training needs 122 days of history, and from 2017-01-01 to 2017-04-15" in failure
    assert retries(bench, outcome) == 0


@pytest.mark.parametrize(("gives_way", "tried_again"), [(True, 1), (False, 2)])
def test_another_writer_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, gives_way: bool, tried_again: int
) -> None:
    """A publish that meets another writer is retried: it passes once that one is done, or names it."""
    monkeypatch.setattr(step, "RETRIES", dg.RetryPolicy(max_retries=2, delay=0))
    assert bench.score(date(2017, 5, 1)).success
    assert bench.score(DAY).success
    others = [Publication.begin(bench.platform.store, NAME, writer="somebody else", lease_seconds=300)]
    begin = Publication.begin

    def met(*arguments: Any, **options: Any) -> Publication:
        try:
            return begin(*arguments, **options)
        finally:
            if gives_way and others:
                others.pop().abandon()

    monkeypatch.setattr(Publication, "begin", met)
    outcome = bench.publish()
    assert (outcome.success, retries(bench, outcome)) == (gives_way, tried_again)
    if not gives_way:
        assert f"{NAME}: somebody else publishes generation 2 and holds the collection until" in outcome.failures[0]
