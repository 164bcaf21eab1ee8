"""Quality of matured predictions, canaries and typical amounts: the rules, on made-up rows.

Not here: the checks on real tables (tests/pipeline/test_monitoring.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.checks import Checks, TableChecks
from serving_assets.models.evaluation import auc, auc_estimate, held_out, paired_bootstrap
from serving_assets.monitoring.quality import by_segment, judge_quality, losses, quality_of
from serving_assets.monitoring.read_back import missed, read_back_severity
from serving_assets.monitoring.typical_amounts import levels_of

DEFAULTS = Checks()


def rows(count: int, strength: float, seed: int, raised: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated scores; `strength` is how much of the chance the scores know, `raised` is added to them."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=count)
    known = strength * truth + np.sqrt(1 - strength**2) * rng.normal(size=count)
    chance = 1 / (1 + np.exp(-1.5 * truth))
    labels = (rng.random(count) < chance).astype(np.float64)
    scores = 1 / (1 + np.exp(-1.5 * strength * known / np.sqrt(1 + 0.7 * (1 - strength**2))))
    return labels, np.clip(scores + raised, 0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_an_auc(seed: int) -> None:
    """The closed form gives the AUC itself, and the error of a bootstrap by entity."""
    labels, scores = rows(1_500, 1.0, seed)
    labels, scores = np.tile(labels, 2), np.tile(scores, 2)  # every entity twice: half as many rows as it seems
    entities = np.tile(np.arange(1_500), 2)
    found = auc_estimate(labels, scores, entities)
    against_noise = paired_bootstrap(labels, scores, {"none": np.zeros(3_000)}, entities, resamples=400)["none"]
    assert found.value == pytest.approx(auc(labels, scores))
    assert 2 * 1.96 * found.error == pytest.approx(against_noise.high - against_noise.low, rel=0.12)
    assert auc_estimate(labels, scores).error == pytest.approx(found.error / np.sqrt(2), rel=0.02)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_an_auc_with_ties(given_rows: list[tuple[bool, int]]) -> None:
    """Whatever the ties, the closed form's AUC is the AUC."""
    labels, scores = (np.array(column, dtype=np.float64) for column in zip(*given_rows, strict=True))
    if labels.min() < labels.max():
        assert auc_estimate(labels, scores).value == pytest.approx(auc(labels, scores))


@pytest.mark.parametrize(
    ("count", "strength", "raised", "severity"),
    [
        (2_400, 1.0, 0.0, "pass"),
        (100_000, 1.0, 0.0, "pass"),
        (20_000, 0.8, 0.0, "error"),
        (20_000, 0.9, 0.0, "warn"),
        (250, 0.9, 0.0, "pass"),  # the same loss on few rows leaves room for none
        (20_000, 1.0, 0.035, "warn"),
        (20_000, 1.0, 0.08, "error"),
        (250, 1.0, 0.035, "pass"),
    ],
)
def test_quality_counts_when_the_interval_leaves_no_room(
    count: int, strength: float, raised: float, severity: str
) -> None:
    """A loss of ranking or of calibration warns and fails by its least certain size, not by its estimate."""
    labels, scores = rows(20_000, 1.0, seed=9)
    reference = held_out(labels, scores, np.arange(20_000))
    found = quality_of(*rows(count, strength, seed=1, raised=raised))
    assert judge_quality(losses(found, reference), DEFAULTS) == severity


def test_a_rare_label_has_no_auc() -> None:
    """With hardly any positive row, calibration alone is judged."""
    labels, scores = np.zeros(500), np.full(500, 0.01)
    labels[:5] = 1
    found = quality_of(labels, scores)
    assert found.auc is None
    reference = held_out(*rows(1_000, 1.0, 0), np.arange(1_000))
    assert set(losses(found, reference)) == {"calibration"}


def test_segments() -> None:
    """Each segment has its own quality, the largest first."""
    labels, scores = rows(3_000, 1.0, 0)
    names = np.where(np.arange(3_000) < 1_000, "often", "seldom")
    found = by_segment(labels, scores, names)
    assert list(found) == ["seldom", "often"]
    assert found["often"] == quality_of(labels[:1_000], scores[:1_000])


@pytest.mark.parametrize(
    ("misses", "earlier", "severity"),
    [(0, [True], "pass"), (1, [], "warn"), (1, [False, True], "warn"), (3, [True], "error")],
)
def test_a_read_back_miss_is_an_error_the_second_time(misses: int, earlier: list[bool], severity: str) -> None:
    """One run with a miss warns, two in a row are an error."""
    assert read_back_severity(misses, earlier) == severity


def test_what_a_read_back_misses() -> None:
    """Absent documents and those that say something else are told, with both sides."""
    told = missed({1: {"v": 1}, 2: {"v": 2}, 3: {"v": 3}}, {1: {"v": 1}, 3: {"v": 4}})
    assert told == [
        {"entity": 2, "expected": {"v": 2}, "found": None},
        {"entity": 3, "expected": {"v": 3}, "found": {"v": 4}},
    ]


@pytest.mark.parametrize(
    ("typical", "severity"),
    [(2.0, "pass"), (2.9, "pass"), (200.0, "error"), (0.02, "error"), (8.0, "warn"), (-2.0, "error")],
)
def test_a_changed_unit(typical: float, severity: str) -> None:
    """An amount that is several times larger or smaller than on the days before has another unit."""
    history = [{"price": price} for price in (1.9, 2.0, 2.1, 2.0, 250.0, 2.0)]
    (level,) = levels_of({"price": typical, "new": 1.0}, history)
    assert level.severity(TableChecks()) == severity
    assert levels_of({"price": typical}, history[:4]) == []


@pytest.mark.parametrize("wrong", [{"psi_warn": 0.3}, {"coverage_warn": 0.9}, {"volume_warn": 0.9}, {"lag_warn": 3}])
def test_thresholds_are_in_order(wrong: dict[str, float]) -> None:
    """A warning that would come after its error is refused, with the fix."""
    with pytest.raises(ValueError, match="swap them"):
        Checks(**wrong)
