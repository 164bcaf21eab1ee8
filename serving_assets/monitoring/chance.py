"""Chance: how likely two tables of counts differ as much as they do when nothing has changed.

Here: Pearson's test of homogeneity, exact enough in the far tail and for few rows. Not here: whether a difference
matters (drift.py).
"""

from __future__ import annotations

import math

import numpy as np

_EXPECTED = 5.0
"""Rows that each bin must be expected to have (Cochran 1954); scarcer ones are put together with their neighbour."""
_TRUSTED = 50.0
"""Expected rows in the scarcest bin from which on the distribution of chi square is right also far out."""
_DRAWS = 20_000
"""Tables simulated at a time."""
_EXTREME = 40
"""Simulated tables as extreme as the real one after which the chance is known well enough (Besag & Clifford 1991)."""


def p_value(reference: np.ndarray, counts: np.ndarray, level: float) -> float | None:
    """The chance of a difference at least as large between two samples of one distribution; None: too few rows.

    Pearson's chi square. Its distribution is approximate, and with few rows a level of 1 in 4,000, as each of 40
    columns needs, is off by a factor of up to 5: close to `level` the p-value is therefore simulated, by a fixed seed.
    """
    table = merged(np.stack([reference, counts]).astype(np.float64))
    if table.shape[1] < 2:
        return None
    statistic = float(chi_square(table[0][None], table[1][None])[0])
    p = chi_square_tail(statistic, table.shape[1] - 1)
    scarcest = _expected(table).min()
    if scarcest >= _TRUSTED or not level / 100 < p < level * 10:
        return p
    return _simulated(table, statistic, level)


def _simulated(table: np.ndarray, statistic: float, level: float) -> float:
    """The share of tables drawn from what both samples have in common whose chi square is at least `statistic`."""
    shares = table.sum(axis=0) / table.sum()
    rng = np.random.default_rng(0)
    drawn = extreme = 0
    while extreme < _EXTREME and drawn < _EXTREME / level:
        samples = [rng.multinomial(int(rows), shares, size=_DRAWS) for rows in table.sum(axis=1)]
        extreme += int(np.sum(chi_square(*samples) >= statistic))
        drawn += _DRAWS
    return (extreme + 1) / (drawn + 1)


def merged(table: np.ndarray) -> np.ndarray:
    """Counts (2, bins) with every bin expected to hold enough rows in both samples; neighbours are put together."""
    table = table[:, table.sum(axis=0) > 0]
    while table.shape[1] > 1:
        scarcest = int(_expected(table).min(axis=0).argmin())
        if _expected(table)[:, scarcest].min() >= _EXPECTED:
            break
        left = scarcest == table.shape[1] - 1 or (
            scarcest > 0 and table[:, scarcest - 1].sum() <= table[:, scarcest + 1].sum()
        )
        other = scarcest - 1 if left else scarcest + 1
        table[:, other] += table[:, scarcest]
        table = np.delete(table, scarcest, axis=1)
    return table


def _expected(table: np.ndarray) -> np.ndarray:
    return np.asarray(np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum())


def chi_square(reference: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pearson's statistic of each pair of rows: two (tables, bins) to (tables,)."""
    n, m = counts.sum(axis=1, keepdims=True), reference.sum(axis=1, keepdims=True)
    pooled = np.maximum((reference + counts) / (n + m), 1e-300)
    return np.asarray(np.sum((counts / n - reference / m) ** 2 / pooled, axis=1) * (n * m / (n + m))[:, 0])


def chi_square_tail(statistic: float, degrees: int) -> float:
    """The chance that chi square of so many degrees of freedom is at least `statistic`.

    The regularised upper incomplete gamma function in closed form: a Poisson sum for even degrees, and the same with
    the tail of the normal distribution for odd ones (Abramowitz & Stegun 26.4.4, 26.4.5).
    """
    half = statistic / 2
    if half <= 0:
        return 1.0
    odd = degrees % 2
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    for k in range(degrees // 2):
        order = k + (0.5 if odd else 0.0)
        total += math.exp(order * math.log(half) - half - math.lgamma(order + 1))
    return min(total, 1.0)


def each_of(alpha: float, tests: int) -> float:
    """The level of each of several tests that together give a false alarm with chance `alpha` (Šidák 1967)."""
    return -math.expm1(math.log1p(-alpha) / max(tests, 1))
