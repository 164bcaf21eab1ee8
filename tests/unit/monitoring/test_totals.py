"""Which lost totals are told, and which are a day's own."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.severity import Severity
from serving_assets.monitoring.totals import Amount, ColumnTotal, totals_of

DAY = date(2017, 5, 31)
PAST = [DAY - timedelta(days=back) for back in range(1, 29)]
THRESHOLDS = TableChecks()


def judged(total: float, rows: int = 400, *, usual: float = 1_000.0, share: float = 0.5) -> ColumnTotal:
    """A day's total after four weeks that were alike but for a few percent."""
    swing = {day: 1 + 0.03 * (day.toordinal() % 3 - 1) for day in PAST}
    counts = {day: round(400 * swing[day]) for day in PAST} | {DAY: rows}
    totals = {day: usual * swing[day] for day in PAST} | {DAY: total}
    amounts = {day: {"produce": Amount(totals[day], round(counts[day] * share))} for day in counts}
    (found,) = totals_of(DAY, amounts, counts, 28)
    return found


@pytest.mark.parametrize(
    ("total", "rows", "severity"),
    [
        pytest.param(1_000.0, 400, "pass", id="as usual"),
        pytest.param(0.0, 400, "error", id="all lost"),
        pytest.param(40.0, 400, "error", id="nearly all lost"),
        pytest.param(120.0, 400, "warn", id="most lost"),
        pytest.param(300.0, 400, "pass", id="a bad day"),
        pytest.param(5_000.0, 400, "pass", id="a sale"),
        pytest.param(50.0, 20, "pass", id="as few as the rows"),
        pytest.param(0.0, 0, "pass", id="closed"),
    ],
)
def test_a_total_is_lost_only_beyond_its_rows(total: float, rows: int, severity: Severity) -> None:
    """What all totals share is a matter of volume; a rise is no loss."""
    assert judged(total, rows).severity(THRESHOLDS) == severity


def test_nothing_is_expected_of_small_totals() -> None:
    """A column that adds up to a few dollars a day may well add up to none."""
    found = judged(0.0, usual=10.0)
    assert (found.volume.expected, found.lost, found.severity(THRESHOLDS)) == (None, 0.0, "pass")


def test_nothing_is_expected_of_few_rows() -> None:
    """A total of a dozen rows is that of the largest among them: chance."""
    found = judged(0.0, share=12 / 400)
    assert (found.volume.expected, found.lost, found.severity(THRESHOLDS)) == (None, 0.0, "pass")


def test_the_largest_loss_comes_first() -> None:
    """Columns are told by what they have lost, whatever their size."""
    amounts = {day: {"a": Amount(1_000.0, 300), "b": Amount(100.0, 40)} for day in PAST}
    amounts[DAY] = {"a": Amount(500.0, 150), "b": Amount(0.0, 0)}
    found = totals_of(DAY, amounts, dict.fromkeys([*PAST, DAY], 400), 28)
    assert [(each.column, each.severity(THRESHOLDS)) for each in found] == [("b", "error"), ("a", "pass")]
