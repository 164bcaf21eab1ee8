"""How often the drift check gives a false alarm, and what it sees: tables with and without a drift, each drawn anew.

Here: simulated tables through the project's own statistics. Not here: real data (benchmarks/DRIFT.md tells of both).
Run as `.venv/bin/python -m benchmarks.drift`.

Each repetition draws a reference of its own, because a check that meets one reference every day meets its chance
deviations every day as well. Counts are drawn by the true chance of each bin, which is what drawing rows and counting
them comes to, at a cost that does not grow with the rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from serving_assets.catalog.checks import Checks
from serving_assets.models.profile import Numbers, quantile_bins
from serving_assets.monitoring.chance import each_of, p_value
from serving_assets.monitoring.distributions import Distribution
from serving_assets.monitoring.drift import drifts

SIZES = (100, 200, 500, 1_000, 2_000, 10_000, 100_000, 1_000_000)
REFERENCE = 20_000
COLUMNS = 40
ALPHA = 0.01
SHIFT = 0.2


@dataclass(frozen=True)
class Kind:
    """A kind of column: how its values are drawn from the uniform distribution, and its share of missing values."""

    name: str
    values: Callable[[np.ndarray], np.ndarray]
    missing: float = 0.0


def _steps(*shares: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda u: np.searchsorted(np.cumsum(shares)[:-1], u, side="right").astype(np.float64)


KINDS = (
    Kind("continuous", lambda u: u),  # the bins are quantiles, so its shape does not matter
    Kind("continuous, 30 % missing", lambda u: u, 0.3),
    Kind("a count with ties", _steps(0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.015, 0.005)),
    Kind("90 % zero", lambda u: np.where(u < 0.9, 0.0, u)),
    Kind("three values", _steps(0.6, 0.3, 0.1)),
    Kind("yes or no, 3 % yes", _steps(0.97, 0.03)),
)


def reference(kind: Kind, rng: np.random.Generator) -> Numbers:
    """The profile of a training set's column."""
    u = rng.random(REFERENCE)
    return quantile_bins(np.where(rng.random(REFERENCE) < kind.missing, np.nan, kind.values(u)), 10)


GRID = (np.arange(20_000) + 0.5) / 20_000
MOVED = np.array([NormalDist().cdf(NormalDist().inv_cdf(u) + SHIFT) for u in GRID])


@dataclass(frozen=True)
class Column:
    """A column of the reference, and the true chance of each of its bins."""

    known: Numbers
    missing: float
    chances: np.ndarray

    @classmethod
    def drawn(cls, kind: Kind, rng: np.random.Generator) -> Column:
        """With a reference of its own."""
        known = reference(kind, rng)
        return cls(known, kind.missing, cls.chances_of(kind, known, GRID))

    @staticmethod
    def chances_of(kind: Kind, known: Numbers, grid: np.ndarray) -> np.ndarray:
        """The chance of each bin where values are drawn evenly from `grid`."""
        bins = np.searchsorted(np.array(known.edges), kind.values(grid), side="left")
        return np.bincount(bins, minlength=len(known.counts)) / len(grid)

    def draw(self, rows: int, rng: np.random.Generator) -> Distribution:
        """A table's column of `rows` rows, counted."""
        found = Distribution(self.known)
        found.missing = int(rng.binomial(rows, self.missing))
        found.counts += rng.multinomial(rows - found.missing, self.chances)
        return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--repeats", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng, checks = np.random.default_rng(asked.seed), Checks(drift_alpha=ALPHA)
    kinds = [KINDS[i % len(KINDS)] for i in range(COLUMNS)]
    seen = {n: np.zeros(6) for n in SIZES}
    for _ in range(asked.repeats):
        columns = [Column.drawn(kind, rng) for kind in kinds]
        moved = replace(columns[0], chances=Column.chances_of(kinds[0], columns[0].known, MOVED))
        for n in SIZES:
            seen[n] += one(n, columns, moved, rng, checks)
    print(f"{asked.repeats:,} repetitions; {COLUMNS} columns at {each_of(ALPHA, COLUMNS):.2g} each; ", end="")
    print(f"references of {REFERENCE:,} rows\n")
    print("| rows | one column, by chance alone | 40 columns, by chance alone | the check | fixed PSI 0.1 | ", end="")
    print(f"{SHIFT:g} sd, by chance alone | {SHIFT:g} sd, the check |\n|{' --- |' * 7}")
    for n in SIZES:
        shares = " | ".join(f"{share:.2%}" for share in seen[n] / asked.repeats)
        print(f"| {n:,} | {shares} |")


def one(n: int, columns: list[Column], moved: Column, rng: np.random.Generator, checks: Checks) -> np.ndarray:
    """Which of the six things that are counted happened in one table of `n` rows, and in one with a drift."""
    found = {str(i): column.draw(n, rng) for i, column in enumerate(columns)}
    first = found["0"]
    alone = p_value(first.reference_counts, first.counts, ALPHA)
    still = drifts(found, ALPHA)
    (of_moved,) = (drift for drift in drifts({**found, "0": moved.draw(n, rng)}, ALPHA) if drift.column == "0")
    return np.array(
        [
            alone is not None and alone < ALPHA,
            any(drift.significant for drift in still),
            any(drift.severity(checks) != "pass" for drift in still),
            any(drift.psi >= checks.psi_warn for drift in still),
            of_moved.significant,
            of_moved.severity(checks) != "pass",
        ],
        dtype=np.float64,
    )


if __name__ == "__main__":
    main()
