"""The days of the drill: always the same days of the data, up to the next day on which the clocks go back.

Here: the arithmetic. Not here: what happens on them (faults).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from serving_assets.catalog.timing import as_of as end_of_day

ZONE = ZoneInfo("America/New_York")
"""Of the shops, of the partitions and of the schedule."""
FAULTY_DAYS = 11
"""Days before that of the time change, one for each other fault."""


def clocks_go_back(after: date) -> date:
    """The next day of 25 hours in New York: the first Sunday of November, since 2007."""
    for year in (after.year, after.year + 1):
        first = date(year, 11, 1)
        sunday = first + timedelta(days=(6 - first.weekday()) % 7)
        if sunday - timedelta(days=FAULTY_DAYS + 3) > after:
            return sunday
    raise AssertionError("each year has such a day")


def newest_of_demo(change: date) -> date:
    """The newest day that the demo has: the next `FAULTY_DAYS` end on the day before the one before the change."""
    return change - timedelta(days=FAULTY_DAYS + 2)


def at(day: date, clock: str) -> datetime:
    """An instant by the wall clock of New York."""
    return datetime.combine(day, time.fromisoformat(clock), ZONE)


def as_of(day: date) -> datetime:
    """The instant at which `day` ends."""
    return end_of_day(day, ZONE.key)
