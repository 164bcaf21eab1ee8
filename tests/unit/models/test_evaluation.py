"""Metrics, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving_assets.models.evaluation import (
    auc,
    brier,
    calibration,
    expected_calibration_error,
    log_loss,
    measure,
    paired_bootstrap,
)


@st.composite
def weighted_rankings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores with many ties, and whole weights."""
    rows = draw(st.integers(2, 30))
    labels = draw(arrays.arrays(np.float64, rows, elements=st.sampled_from([0.0, 1.0])))
    scores = draw(arrays.arrays(np.float64, rows, elements=st.sampled_from([0.0, 0.1, 0.5, 0.9, -np.inf])))
    weights = draw(arrays.arrays(np.float64, rows, elements=st.sampled_from([0.0, 1.0, 3.0])))
    return labels, scores, weights


@given(weighted_rankings())
def test_auc_counts_pairs(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """AUC is the weighted share of pairs in which the positive ranks higher, ties counting half."""
    labels, scores, weights = case
    positive, negative = labels == 1, labels == 0
    higher = (scores[positive, None] > scores[None, negative]) + 0.5 * (
        scores[positive, None] == scores[None, negative]
    )
    pairs = weights[positive, None] * weights[None, negative]
    found = auc(labels, scores, weights)
    if pairs.sum():
        assert found == pytest.approx((higher * pairs).sum() / pairs.sum())
    else:
        assert np.isnan(found)


def test_proper_scores_of_a_known_case() -> None:
    """Log loss and Brier score of two rows equal what is computed by hand."""
    labels, scores = np.array([1.0, 0.0]), np.array([0.8, 0.4])
    assert log_loss(labels, scores) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert brier(labels, scores) == pytest.approx((0.04 + 0.16) / 2)


def test_certain_and_wrong_is_finite() -> None:
    """A probability of exactly 0 or 1 gives a finite log loss."""
    assert np.isfinite(log_loss(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_calibration_error_of_a_known_shift() -> None:
    """Scores that are too high by a tenth everywhere have a calibration error of about a tenth."""
    rng = np.random.default_rng(0)
    chance = rng.uniform(0, 0.9, 50_000)
    labels = (rng.random(50_000) < chance).astype(float)
    assert measure(labels, chance).calibration_error < 0.01
    assert measure(labels, chance + 0.1).calibration_error == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("scores", [np.full(100, 0.3), np.repeat([0.1, 0.9], 50), np.linspace(0, 1, 100)])
def test_every_row_is_in_one_bin(scores: np.ndarray) -> None:
    """Bins hold every row once, also where scores are few or all the same."""
    table = calibration(np.tile([0.0, 1.0], 50), scores)
    assert sum(entry.rows for entry in table) == 100
    assert len(table) <= 10
    assert 0 <= expected_calibration_error(table) <= 1


def test_bootstrap_covers_and_excludes() -> None:
    """The interval excludes zero for a real difference and holds it for none, and a repeated call gives the same."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4_000).astype(float)
    good, bad = labels + rng.normal(0, 1, 4_000), labels + rng.normal(0, 3, 4_000)
    entities = np.repeat(np.arange(500), 8)
    twin = good + rng.normal(0, 1e-3, 4_000)
    found = paired_bootstrap(labels, good, {"bad": bad, "twin": twin}, entities, resamples=300, seed=1)
    assert found["bad"].low > 0
    assert found["twin"].low < 0 < found["twin"].high
    assert found["bad"].difference == pytest.approx(auc(labels, good) - auc(labels, bad))
    assert found == paired_bootstrap(labels, good, {"bad": bad, "twin": twin}, entities, resamples=300, seed=1)


def test_bootstrap_draws_entities_not_rows() -> None:
    """Copies of an entity's rows add no certainty: the interval stays as wide as with one row each."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300).astype(float)
    scores, other, keys = labels + rng.normal(0, 1, 300), labels + rng.normal(0, 1.5, 300), np.arange(300)
    once = paired_bootstrap(labels, scores, {"o": other}, keys, resamples=400)["o"]
    copied = [np.repeat(values, 10) for values in (labels, scores, other, keys)]
    tenfold = paired_bootstrap(copied[0], copied[1], {"o": copied[2]}, copied[3], resamples=400)["o"]
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low)
