"""Training: which days are held out, what a candidate knows, and what the gate says of it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.spec import Promotion, UseCase
from serving_assets.errors import InputError
from serving_assets.models.bundle import Bundle
from serving_assets.models.evaluation import Difference
from serving_assets.models.lifecycle.promotion import GateVerdict, against_champion, gate
from serving_assets.models.packaging import package
from serving_assets.models.training import Candidate, split_days, train_candidate
from tests.unit.models import samples


@given(
    start=st.dates(date(2000, 1, 1), date(2050, 1, 1)),
    steps=st.lists(st.integers(1, 20), min_size=4, max_size=40),
    holdout=st.integers(1, 3),
    horizon=st.integers(1, 30),
)
def test_no_label_of_training_reaches_the_holdout(start: date, steps: list[int], holdout: int, horizon: int) -> None:
    """Every day is in one part, the newest are held out, and no training label looks behind the first of them."""
    days = [start + timedelta(days=sum(steps[:i])) for i in range(len(steps))]
    try:
        split = split_days(reversed(days), holdout=holdout, horizon_days=horizon)
    except InputError:
        assert days[0] + timedelta(days=horizon) > days[-holdout]
        return
    assert [*split.train, *split.gap, *split.holdout] == days
    assert len(split.holdout) == holdout
    assert all(day + timedelta(days=horizon) <= split.holdout[0] for day in split.train)
    assert all(day + timedelta(days=horizon) > split.holdout[0] for day in split.gap)


def test_candidate_is_measured_on_held_out_days_only(candidate: Candidate) -> None:
    """The holdout is the three newest days, and nothing of them was fitted on."""
    assert set(candidate.holdout["day"].to_pylist()) == set(samples.DAYS[-3:])
    assert candidate.train_rows == 200 * len(candidate.split.train)
    assert candidate.metrics.rows == candidate.holdout.num_rows == 600
    assert candidate.metrics.auc > 0.6
    assert set(candidate.baselines) == {"first"}
    assert "baseline:first" not in candidate.signature.names


def test_holdout_labels_change_no_model(use_case: UseCase, candidate: Candidate) -> None:
    """Labels of held-out days, turned round, leave the fitted model's scores as they were."""
    rows = samples.training_set()
    held_out = pc.is_in(rows["day"], pa.array(samples.DAYS[-3:]))
    turned = pc.if_else(held_out, pc.subtract(1.0, rows["label"]), rows["label"])
    poisoned = rows.set_column(rows.column_names.index("label"), "label", turned)
    other = train_candidate(use_case, poisoned, samples.boosting, resamples=10)
    np.testing.assert_array_equal(other.scores, candidate.scores)
    assert other.metrics.auc < 0.5


def test_order_of_rows_changes_nothing(use_case: UseCase, candidate: Candidate) -> None:
    """The same rows in another order give the same scores."""
    rows = samples.training_set()
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(rows.num_rows)))
    np.testing.assert_array_equal(
        train_candidate(use_case, shuffled, samples.boosting, resamples=10).scores, candidate.scores
    )


def refusing(features: Any, labels: Any) -> Any:
    """A linear model without an imputer, which refuses missing values."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(features.fillna(0.0), labels)


def test_what_an_estimator_refuses_is_required(use_case: UseCase, candidate: Candidate) -> None:
    """Features that the estimator refuses to miss are required; one that takes all missing values requires none."""
    filled = samples.training_set()
    for name in candidate.signature.names:
        filled = filled.set_column(filled.column_names.index(name), name, filled[name].fill_null(0.0))
    strict = train_candidate(use_case, filled, refusing, resamples=10)
    assert all(feature.required for feature in strict.signature.features)
    assert not any(feature.required for feature in candidate.signature.features)


@pytest.mark.parametrize("labels", [[0.0], [1.0], [0.0, 1.0, 2.0], [0.0, None]])
def test_labels_must_be_of_both_kinds(use_case: UseCase, labels: list[float | None]) -> None:
    """Labels of one kind, of a third kind or missing stop the training with what was found."""
    rows = samples.training_set()
    column = pa.array([labels[i % len(labels)] for i in range(rows.num_rows)], pa.float64())
    broken = rows.set_column(rows.column_names.index("label"), "label", column)
    with pytest.raises(InputError, match=r"training labels are .* expected both 0 and 1"):
        train_candidate(use_case, broken, samples.boosting)


def test_too_few_days(use_case: UseCase) -> None:
    """A set that leaves no day to train on says how many days there are and how many are held out."""
    few = samples.training_set().filter(pc.is_in(pc.field("day"), pa.array(samples.DAYS[:3])))
    with pytest.raises(InputError, match="3 as-of days are too few: 3 are held out"):
        train_candidate(use_case, few, samples.boosting)


def judged(candidate: Candidate, bundle: Bundle, **changes: Any) -> GateVerdict:
    """The gate's verdict on a candidate that passes, but for `changes`."""
    better = Difference(auc=0.8, other_auc=0.7, difference=0.1, low=0.05, high=0.15)
    arguments: dict[str, Any] = {
        "metrics": candidate.metrics.model_copy(update={"calibration_error": 0.01}),
        "baselines": {"first": better},
        "champion": None,
        "bundle": bundle,
        "outputs": ("score",),
        "spec": Promotion(),
    }
    return gate(**{**arguments, **changes})


def difference(low: float) -> Difference:
    """A comparison whose interval begins at `low`."""
    return Difference(auc=0.8, other_auc=0.8, difference=low + 0.01, low=low, high=low + 0.02)


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, set()),
        ({"baselines": {"first": difference(-0.001)}}, {"beats first"}),
        ({"baselines": {"first": difference(-0.001)}, "spec": Promotion(beats_baselines=False)}, set()),
        ({"champion": difference(-0.0019)}, set()),
        ({"champion": difference(-0.0021)}, {"not worse than the champion"}),
        ({"spec": Promotion(max_calibration_error=0.005)}, {"calibration"}),
        ({"outputs": ("probability",)}, {"outputs"}),
    ],
)
def test_gate(candidate: Candidate, tmp_path: Path, changes: dict[str, Any], failing: set[str]) -> None:
    """A candidate is promoted exactly when every condition holds, and the verdict names those that do not."""
    verdict = judged(candidate, package(candidate, tmp_path / "bundle"), **changes)
    assert {reason.name for reason in verdict.reasons if not reason.passed} == failing
    assert verdict.promote == (not failing)


def test_champion_is_compared_on_the_same_rows(candidate: Candidate, tmp_path: Path) -> None:
    """A candidate equals its own compiled form; a champion that lacks a feature is not compared."""
    scorer = package(candidate, tmp_path / "bundle").scorer()
    own = against_champion(candidate, scorer, resamples=50)
    assert own is not None
    assert abs(own.difference) < 1e-4
    narrow = Candidate(**{**vars(candidate), "holdout": candidate.holdout.drop_columns(["f3"])})
    assert against_champion(narrow, scorer) is None
