"""Rules of numbers that are computed twice: no verdict hangs on their last digit.

Not here: the statistics of drift (tests/unit/monitoring/test_drift.py), or the certificate (test_scorer.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.checks import Checks
from serving_assets.catalog.spec import UseCase
from serving_assets.models.packaging import package
from serving_assets.models.profile import Numbers, quantile_bins
from serving_assets.models.scorer import _probabilities
from serving_assets.models.training import train_candidate
from serving_assets.monitoring.distributions import Distribution
from serving_assets.monitoring.drift import drifts
from serving_assets.monitoring.severity import above
from tests.unit.models import samples


def counts_of(reference: Numbers, values: np.ndarray, dtype: pa.DataType) -> tuple[int, ...]:
    """Values counted in the bins of a reference."""
    found = Distribution(reference)
    found.add(pa.array(values), dtype)
    return tuple(found.counts.tolist())


@given(
    values=st.lists(
        st.sampled_from([-7.25, -0.1, 0.0, 1e-3, 0.1, 1 / 3, 0.7, 1.0, 20.0, 1e6]), min_size=1, max_size=60
    ),
    seed=st.integers(0, 99),
)
def test_rounding_moves_no_value_into_another_bin(values: list[float], seed: int) -> None:
    """Values that come out as float32, or a few units in the last place off, stay in their bins; so do near-zeros."""
    exact = np.array(values)
    reference = quantile_bins(exact, 10)
    noise = np.random.default_rng(seed).uniform(-1, 1, len(exact))
    for again in (exact.astype(np.float32).astype(np.float64), exact * (1 + 1e-7 * noise), exact + 1e-13 * noise):
        assert counts_of(reference, again, pa.float64()) == reference.counts


def test_edges_of_earlier_profiles_lie_on_values() -> None:
    """A profile whose edges are the float64 scores themselves has scores of float32 in the same bins."""
    scores = np.repeat([0.1, 0.3, 0.7], [50, 30, 20])
    earlier = Numbers(edges=(0.1, 0.3), counts=(50, 30, 20), null_rate=0.0)
    assert counts_of(earlier, scores.astype(np.float32).astype(np.float64), pa.float64()) == earlier.counts


def few_scores(use_case: UseCase) -> pa.Table:
    """A training set whose one feature is a bool, so that there are two scores."""
    rows = samples.training_set()
    flag = pa.array((np.arange(rows.num_rows) % 3 == 0) | (np.arange(rows.num_rows) % 7 == 0))
    label = np.where(np.random.default_rng(5).random(rows.num_rows) < np.where(flag, 0.7, 0.2), 1.0, 0.0)
    kept = rows.select([use_case.entity.key, "day"])
    return kept.append_column("flag", flag).append_column("label", pa.array(label))


@pytest.mark.parametrize("trainer", samples.TRAINERS.values(), ids=samples.TRAINERS)
def test_few_distinct_scores_do_not_drift(use_case: UseCase, tmp_path: Path, trainer: Any) -> None:
    """The scores that a model gives the held-out rows again are no drift, and profile and scorer are of one form."""
    candidate = train_candidate(use_case, few_scores(use_case), trainer, resamples=10)
    bundle = package(candidate, tmp_path / "bundle")
    batch = candidate.holdout.combine_chunks().to_batches()[0]
    scores = bundle.scorer().score(batch)["score"]
    np.testing.assert_array_equal(scores, candidate.scores)
    found = Distribution(bundle.profile.score_quantiles["score"])
    found.add(pa.array(scores), pa.float64())
    (drift,) = drifts({"score": found}, Checks().drift_alpha)
    assert drift.psi < 1e-9
    assert drift.severity(Checks()) == "pass"


@pytest.mark.parametrize("votes", [10, 30, 77])
def test_probabilities_stay_probabilities(use_case: UseCase, tmp_path: Path, votes: int) -> None:
    """The mean of many certain votes is 1, and not 1.0000001, which no declared range would let pass."""

    def certain(features: Any, labels: Any) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(votes, max_features=None, bootstrap=False, random_state=0).fit(features, labels)

    rows = few_scores(use_case)
    rows = rows.set_column(rows.column_names.index("label"), "label", rows["flag"].cast(pa.int8()).cast(pa.float64()))
    bundle = package(train_candidate(use_case, rows, certain, resamples=10), tmp_path / "bundle")
    assert bundle.form == "onnx"
    scores = bundle.scorer().score_rows([[True], [False]])
    assert scores.min() >= 0
    assert scores.max() <= 1


@pytest.mark.parametrize(
    ("measured", "found"), [(0.15 - 0.10, "warn"), (1 - 0.8, "error"), (0.05 - 1e-6, "pass"), (0.3, "error")]
)
def test_a_threshold_is_reached_whatever_the_rounding(measured: float, found: str) -> None:
    """0.15 - 0.10 reaches 0.05, though its float64 is below."""
    assert above(measured, 0.05, 0.2) == found


@pytest.mark.parametrize(
    ("score", "kept"), [(1.0000001, 1.0), (-1e-9, 0.0), (0.3, 0.3), (1.5, 1.5), (-0.001, -0.001), (1.0001, 1.0001)]
)
def test_only_rounding_is_put_on_a_bound(score: float, kept: float) -> None:
    """A score that exceeds [0, 1] by more than rounding stays what it is, so that `valid_scores` stops it."""
    assert _probabilities(np.array([score]))[0] == kept
    assert np.isnan(_probabilities(np.array([np.nan]))[0])
