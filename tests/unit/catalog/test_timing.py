"""Deadlines and cut-offs: what is derived where nothing is declared, and what cannot be meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.timing import Daily, deadline_of, minutes_after, minutes_from

TIMES = st.integers(0, 1439).map(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}")


def daily(at: str, wait_until: str | None = None) -> Daily:
    """A schedule in Berlin."""
    return Daily(at=at, timezone="Europe/Berlin", wait_until=wait_until)


@given(at=TIMES, minutes=st.integers(0, 1439))
def test_the_face_of_the_clock_goes_round(at: str, minutes: int) -> None:
    """So many minutes after a time of day are as many minutes from it, also past midnight."""
    assert minutes_from(at, minutes_after(at, minutes)) == minutes


@pytest.mark.parametrize(
    ("schedule", "declared", "cut_off", "deadline"),
    [
        (daily("05:00"), None, "06:00", "07:00"),
        (daily("05:00"), "08:30", "06:00", "08:30"),
        (daily("05:00", "05:20"), None, "05:20", "06:20"),
        (daily("05:00", "05:20"), "05:21", "05:20", "05:21"),
        (daily("22:30"), None, "23:30", "00:30"),
        (daily("22:30"), "01:00", "23:30", "01:00"),
    ],
    ids=lambda value: str(value) if isinstance(value, str | None) else value.at,
)
def test_what_is_not_declared_is_derived(schedule: Daily, declared: str | None, cut_off: str, deadline: str) -> None:
    """A run waits for an hour, and readers are served an hour after that, on the next day if need be."""
    assert (schedule.cut_off, deadline_of(schedule, declared)) == (cut_off, deadline)


@pytest.mark.parametrize("declared", ["05:59", "06:00", "05:00"])
def test_a_deadline_while_the_run_still_waits_is_refused(declared: str) -> None:
    """Whoever declares a deadline before the cut-off is told both times and the mend."""
    with pytest.raises(ValueError, match=r"06:00.*wait_until"):
        deadline_of(daily("05:00"), declared)
