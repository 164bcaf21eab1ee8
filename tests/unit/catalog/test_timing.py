"""Deadlines and cut-offs: what is derived where nothing is declared, and what cannot be meant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_assets.catalog.timing import Daily, as_of, deadline_of, minutes_after, minutes_from, newest_ended_day

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
    """Whoever declares a deadline before the cut-off is told both times and the fix."""
    with pytest.raises(ValueError, match=r"06:00.*wait_until"):
        deadline_of(daily("05:00"), declared)


ENDS = [
    ("Europe/Berlin", "2026-07-20", "2026-07-20T22:00"),
    ("Atlantic/Azores", "2026-10-23", "2026-10-24T00:00"),
    ("Atlantic/Azores", "2026-10-24", "2026-10-25T00:00"),  # at 01:00 the clocks show midnight a second time
    ("Atlantic/Azores", "2026-10-25", "2026-10-26T01:00"),
    ("Africa/Cairo", "2026-04-23", "2026-04-23T22:00"),  # the clocks skip midnight
    ("America/St_Johns", "2008-11-01", "2008-11-02T03:30"),  # at 00:01 the clocks go back into the day before
    ("Pacific/Apia", "2011-12-29", "2011-12-30T10:00"),  # the day after is skipped
    ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),
]
UNUSUAL = ["Atlantic/Azores", "Africa/Cairo", "America/Havana", "America/St_Johns", "Pacific/Apia", "Asia/Beirut"]


@pytest.mark.parametrize(("zone", "day", "end"), ENDS)
def test_a_day_ends_once(zone: str, day: str, end: str) -> None:
    """A day ends just after its last instant, also where the clocks show its midnight twice or not at all."""
    assert as_of(date.fromisoformat(day), zone) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@given(
    zone=st.sampled_from([*UNUSUAL, "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    day=st.dates(date(1987, 1, 1), date(2035, 12, 31)),
)
def test_the_end_parts_the_instants(zone: str, day: date) -> None:
    """No instant from the end on is of the day or an earlier one, and the one before it is."""
    end = as_of(day, zone)
    dates = [(end + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)).date() for minutes in range(0, 300, 15)]
    assert min(dates) > day
    assert (end - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date() <= day
    newest = newest_ended_day(end, zone)
    assert newest >= day
    assert as_of(newest, zone) == as_of(day, zone)
    assert newest_ended_day(end - timedelta(microseconds=1), zone) < day
