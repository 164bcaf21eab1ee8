"""Drift, null rates and chance: statistics against their definitions and against scipy.

Not here: how often they fire over thousands of tables (benchmarks/drift.py).
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from serving_assets.catalog.checks import Checks
from serving_assets.models.profile import Numbers, Wander, psi, quantile_bins, shift
from serving_assets.monitoring.chance import chi_square, chi_square_tail, each_of, merged, p_value
from serving_assets.monitoring.distributions import Distribution, count_batch
from serving_assets.monitoring.drift import drifts
from serving_assets.monitoring.nulls import null_rates

DEFAULTS = Checks()
COUNTS = st.lists(st.integers(0, 100_000), min_size=2, max_size=12)


def counted(reference: np.ndarray, values: np.ndarray, days: np.ndarray | None = None) -> Distribution:
    """`values` in the bins of a profile of `reference`."""
    found = Distribution(quantile_bins(reference.astype(np.float32), 10, days))
    count_batch({"x": found}, pa.record_batch({"x": pa.array(values, from_pandas=True)}))
    return found


def normal(rows: int, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    """Normal values."""
    return np.random.default_rng(seed).normal(mean, size=rows)


@given(st.floats(0, 400), st.integers(1, 60))
def test_the_tail_of_chi_square(statistic: float, degrees: int) -> None:
    """The tail is scipy's."""
    assert chi_square_tail(statistic, degrees) == pytest.approx(stats.chi2.sf(statistic, degrees), rel=1e-9, abs=1e-300)


@given(COUNTS.filter(lambda counts: sum(counts) > 0), st.integers(1, 9))
def test_pearsons_statistic(counts: list[int], factor: int) -> None:
    """The statistic is scipy's for a table of two samples, and zero for samples of the same shares."""
    table = np.array([[n + 1 for n in counts], [(n * 7) % 1000 + 1 for n in counts]], dtype=np.float64)
    expected = stats.chi2_contingency(table, correction=False).statistic
    assert chi_square(table[:1], table[1:])[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert chi_square(table[:1], table[:1] * factor)[0] == pytest.approx(0, abs=1e-6)


@given(COUNTS, COUNTS)
def test_scarce_bins_are_put_together(first: list[int], second: list[int]) -> None:
    """Merging loses no row, and leaves one bin or bins that are all expected to hold five rows."""
    size = min(len(first), len(second))
    table = np.array([first[:size], second[:size]], dtype=np.float64)
    if not table.sum(axis=1).all():
        return
    found = merged(table.copy())
    assert found.sum(axis=1) == pytest.approx(table.sum(axis=1))
    if found.shape[1] > 1:
        assert np.outer(found.sum(axis=1), found.sum(axis=0)).min() / found.sum() >= 5


@pytest.mark.parametrize("yes", [19, 20, 21, 22])
def test_a_p_value_near_the_level_is_exact(yes: int) -> None:
    """Of two bins, one of them rare, it is that of the binomial test, from which the tail of chi square is far off."""
    reference, counts = np.array([2_000_000, 40_000]), np.array([500 - yes, yes])
    share = 40_000 / 2_040_000
    extreme = [k for k in range(80) if abs(k / 500 - share) >= abs(yes / 500 - share) - 1e-9]
    exact = float(stats.binom.pmf(extreme, 500, share).sum())
    assert p_value(reference, counts, exact) == pytest.approx(exact, rel=0.4)
    approximate = chi_square_tail(chi_square(reference[None] * 1.0, counts[None] * 1.0)[0], 1)
    assert exact / approximate > 1.5


def test_levels_of_a_family() -> None:
    """Forty independent columns at their level give a false alarm as often as one at the whole's."""
    assert 1 - (1 - each_of(0.01, 40)) ** 40 == pytest.approx(0.01)
    assert each_of(0.01, 1) == pytest.approx(0.01)


@pytest.mark.parametrize("sd", [-1.0, -0.2, 0.0, 0.1, 0.2, 0.5])
def test_a_shift_is_told_in_standard_deviations(sd: float) -> None:
    """The shift of a normal column is what it was moved by, whatever outliers there are."""
    moved = normal(200_000, sd, seed=1)
    moved[:10] = 1e30
    found = counted(normal(200_000), moved)
    assert shift(found.reference_counts, found.counts) == pytest.approx(sd, abs=0.01 + 0.05 * abs(sd))


@given(COUNTS, COUNTS)
def test_psi_is_a_distance(first: list[int], second: list[int]) -> None:
    """PSI is symmetric, never negative, finite with empty bins, and zero of a table with itself."""
    size = min(len(first), len(second))
    a, b = first[:size], second[:size]
    assert psi(a, b) == pytest.approx(psi(b, a), abs=1e-9)
    assert 0 <= psi(a, b) < math.inf
    assert psi(a, a) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("mean", "severity"), [(0.0, "pass"), (0.2, "warn"), (1.0, "error")])
def test_sizes_of_a_drift(mean: float, severity: str) -> None:
    """0.2 standard deviations at 2,000 rows warn, a whole one is an error, none passes."""
    found = {"x": counted(normal(20_000), normal(2_000, mean, seed=2)), "y": counted(normal(20_000), normal(2_000))}
    by_name = {drift.column: drift for drift in drifts(found, DEFAULTS.drift_alpha)}
    assert by_name["x"].severity(DEFAULTS) == severity
    assert by_name["y"].severity(DEFAULTS) == "pass"


def test_a_million_rows_are_no_alarm() -> None:
    """A difference that is beyond chance and of no size passes."""
    known = counted(normal(1_000_000), normal(1_000_000, 0.02, seed=3))
    (drift,) = drifts({"x": known}, 0.01)
    assert drift.significant
    assert drift.severity(DEFAULTS) == "pass"


def test_thirty_rows_are_no_alarm() -> None:
    """A PSI above every threshold passes when chance does as much."""
    (drift,) = drifts({"x": counted(normal(20_000), normal(30, seed=4))}, 0.01)
    assert drift.psi > DEFAULTS.psi_warn
    assert drift.severity(DEFAULTS) == "pass"


def test_a_column_that_differs_from_day_to_day_means_nothing_by_it() -> None:
    """What single days of the training set did by themselves is no drift; what goes beyond it is."""
    days = np.repeat(np.arange(20), 500)
    values = days % 4 + normal(10_000) / 10
    (usual,) = drifts({"x": counted(values, 2 + normal(2_000, seed=5) / 10, days)}, 0.01)
    (unknown,) = drifts({"x": counted(values, 2 + normal(2_000, seed=5) / 10)}, 0.01)
    assert (usual.severity(DEFAULTS), unknown.severity(DEFAULTS)) == ("pass", "error")


@pytest.mark.parametrize(
    ("values", "missing"),
    [([1.0, None, 3.0, float("nan")], 2), ([None, None], 2), ([1.0], 0), ([float("inf"), 1.0, float("-inf")], 0)],
)
def test_missing_values_are_counted_apart(values: list[float | None], missing: int) -> None:
    """NULL and NaN are missing, infinities are in the outermost bins, and nothing else is lost."""
    found = Distribution(Numbers(edges=(0.0, 2.0), counts=(5, 5, 5), null_rate=0.0))
    count_batch({"x": found}, pa.record_batch({"x": pa.array(values, pa.float64())}))
    assert (found.missing, found.rows) == (missing, len(values))


def test_a_column_without_values_is_left_out() -> None:
    """No drift is told of a column that is empty now, or was then: the null rate tells."""
    empty = Distribution(Numbers(edges=(0.0,), counts=(5, 5), null_rate=0.0))
    count_batch({"x": empty}, pa.record_batch({"x": pa.array([None] * 9, pa.float64())}))
    unknown = Distribution(Numbers(edges=(), counts=(0,), null_rate=1.0))
    count_batch({"x": unknown}, pa.record_batch({"x": pa.array([1.0] * 9)}))
    assert drifts({"x": empty, "y": unknown}, 0.01) == []


@pytest.mark.parametrize(
    ("reference", "missing", "rows", "wander", "severity"),
    [
        (0.0, 0, 1000, 0.0, "pass"),
        (0.0, 100, 1000, 0.0, "warn"),
        (0.0, 300, 1000, 0.0, "error"),
        (0.5, 100, 1000, 0.0, "warn"),  # fewer than ever
        (0.3, 500, 1000, 0.0, "error"),
        (0.3, 500, 1000, 0.1, "pass"),
        (0.3, 5, 10, 0.0, "pass"),  # ten rows say nothing
        (0.0, 1, 1, 0.0, "pass"),
    ],
)
def test_null_rates(reference: float, missing: int, rows: int, wander: float, severity: str) -> None:
    """More missing values than in training, chance and habit apart, warn and then fail; fewer only warn."""
    known = Numbers(edges=(0.0,), counts=(5, 5), null_rate=reference, wander=Wander(nulls=wander))
    found = Distribution(known)
    found.missing, found.counts[0] = missing, rows - missing
    (rate,) = null_rates({"x": found})
    assert rate.severity(DEFAULTS) == severity
