"""How the ninety-day benchmark scores and draws faults. Not here: a life (tests/pipeline/test_ninety_days.py)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from benchmarks.ninety.drawing import FIRST_FAULT, QUIET_DAYS, drawn
from benchmarks.ninety.faults import KINDS
from benchmarks.ninety.scoring import Injected, Severity, Told, score

NEW_YORK = ZoneInfo("America/New_York")
FIRST = date(2017, 10, 3)
FAULT = Injected(
    "half_of_the_lines",
    date(2017, 10, 9),
    1,
    datetime(2017, 10, 10, 4, tzinfo=NEW_YORK),
    datetime(2017, 10, 11, 3, 59, tzinfo=NEW_YORK),
    frozenset({"raw/transactions", "mapped/baskets"}),
)


def told(
    day: int = 10, hour: int = 5, asset: str = "raw/transactions", kind: str = "volume", severity: Severity = "error"
) -> Told:
    """An incident of October 2017."""
    return Told(datetime(2017, 10, day, hour, tzinfo=NEW_YORK), 1, asset, kind, severity)


def test_what_a_fault_causes_while_it_lasts_is_true() -> None:
    """All its incidents are true, and by fault they count once."""
    found = score([FAULT], [told(), told(asset="mapped/baskets", kind="step_failed")], [], 90)
    assert (found.seen, found.recall, len(found.true[0]), found.false) == (1, 1.0, 2, ())
    assert found.precision(pages=True, by_fault=True) == found.precision(pages=True, by_fault=False) == 1.0
    assert found.false_pages_a_week == 0


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(told(day=10, hour=3), id="before it began"),
        pytest.param(told(day=11, hour=4), id="after it was fixed"),
        pytest.param(told(asset="raw/coupon_redemptions"), id="of what it does not reach"),
    ],
)
def test_what_a_fault_cannot_have_caused_is_false(other: Told) -> None:
    """Nor does it tell of the fault: consequences in later days count against the alerts."""
    found = score([FAULT], [other], [], 7)
    assert (found.seen, found.recall, found.false) == (0, 0.0, (other,))
    assert found.precision(pages=True, by_fault=True) == 0.0
    assert found.false_pages_a_week == 1.0


def test_what_the_same_days_tell_without_the_fault_is_false() -> None:
    """A warning of the undisturbed days does not excuse an error of the disturbed ones, and an error does both."""
    warned, failed = told(severity="warn"), told(severity="error")
    assert score([FAULT], [failed], [warned], 90).seen == 1
    assert score([FAULT], [failed], [failed], 90).seen == 0
    assert score([FAULT], [warned], [failed], 90).seen == 0
    assert score([FAULT], [warned], [told(day=9, severity="error")], 90).seen == 1


def test_a_warning_is_recall_and_no_page() -> None:
    """Precision of pages counts errors alone; by fault, three true incidents of one fault weigh as much as one."""
    warned = [told(kind=kind, severity="warn") for kind in ("a", "b", "c")]
    false = [told(day=20), told(day=21, severity="warn")]
    found = score([FAULT], [*warned, *false], [], 90)
    assert found.recall == 1.0
    assert found.precision(pages=True, by_fault=False) == 0.0
    assert found.precision(pages=False, by_fault=False) == 3 / 5
    assert found.precision(pages=False, by_fault=True) == 1 / 3
    assert found.false_pages == 1


@pytest.mark.parametrize("seed", range(20))
def test_faults_lie_apart(seed: int) -> None:
    """Twenty faults of twenty kinds fit into ninety days, none at the same time as another, each fixed in them."""
    faults = drawn(seed, FIRST, 90, 20)
    assert faults == drawn(seed, FIRST, 90, 20)
    assert len({fault.kind.name for fault in faults}) == 20 <= len(KINDS)
    assert faults[0].day >= FIRST + timedelta(days=FIRST_FAULT)
    ends = [fault.day + timedelta(days=fault.days + QUIET_DAYS) for fault in faults]
    assert all(end <= after.day for end, after in zip(ends, faults[1:], strict=False))
    assert ends[-1] <= FIRST + timedelta(days=90)


def test_too_many_faults_are_refused() -> None:
    """Days that do not hold them are named."""
    with pytest.raises(ValueError, match="10 days do not hold 20 faults"):
        drawn(1, FIRST, 10, 20)
