"""Declarations of time: schedules, until when a run waits, and how late days are caught up.

Here: times of day in a time zone, and what is derived from them. Not here: the rest of a use case (spec.py), or
anything that ticks (pipeline/automation/).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, NonNegativeInt, PositiveInt

from serving_assets.catalog.columns import Spec

_TICK = timedelta(microseconds=1)
MINUTES_OF_A_DAY = 24 * 60
SECONDS_OF_A_DAY = 60 * MINUTES_OF_A_DAY
PATIENCE_MINUTES = 60
"""How long a daily run waits for files, and how long it is given afterwards, where nothing is declared."""


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{value!r} is not a time zone: use an IANA name such as Europe/Berlin") from error
    return value


def _time_of_day(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError(f"{value!r} is not a time of day: write hours and minutes, such as 05:00")
    return value


TimeZone = Annotated[str, AfterValidator(_timezone)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]


def as_of(day: date, timezone: str) -> datetime:
    """The instant, in UTC, at which `day` ends in `timezone`: the first after which no local date is `day` or earlier.

    So a midnight that the clocks meet twice counts once, and in place of one that they skip counts the skip. Whatever
    needs the end of a day, in Python or in SQL, asks here. It is in UTC because Python compares and subtracts local
    times by the face of the clock.
    """
    zone = ZoneInfo(timezone)
    midnight = datetime.combine(day + timedelta(days=1), time(), zone)
    early, late = sorted(midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if _local_date(early, zone) > day:  # it exists; where the clocks meet it twice, the day may go on in between
        return early if _local_date(late - _TICK, zone) > day else late
    while late - early > _TICK:
        between = early + (late - early) / 2
        early, late = (early, between) if _local_date(between, zone) > day else (between, late)
    return late


def newest_ended_day(instant: datetime, timezone: str) -> date:
    """The newest day that has ended in `timezone` at `instant`."""
    day = _local_date(instant, ZoneInfo(timezone))
    while as_of(day, timezone) > instant:
        day -= timedelta(days=1)
    return day


@lru_cache(maxsize=64)
def unusual_ends(timezone: str, year: int) -> tuple[date, ...]:
    """The days of a year that do not end at a midnight that the clocks of `timezone` show once: where SQL errs."""
    days = (date(year, 1, 1) + timedelta(days=number) for number in range(366))
    midnights = ((day, datetime.combine(day + timedelta(days=1), time(), ZoneInfo(timezone))) for day in days)
    return tuple(day for day, at in midnights if at.utcoffset() != at.replace(fold=1).utcoffset())


def _local_date(instant: datetime, zone: ZoneInfo) -> date:
    return instant.astimezone(zone).date()


def minutes_from(first: str, then: str) -> int:
    """Minutes on the face of the clock from one time of day to the next time it is `then`; 0 to 1,439."""
    begin, end = (int(at[:2]) * 60 + int(at[3:]) for at in (first, then))
    return (end - begin) % MINUTES_OF_A_DAY


def minutes_after(at: str, minutes: int) -> str:
    """The time of day so many minutes after `at`, past midnight if need be."""
    total = (int(at[:2]) * 60 + int(at[3:]) + minutes) % MINUTES_OF_A_DAY
    return f"{total // 60:02}:{total % 60:02}"


def has_expired(as_of: float, days: int, now: float) -> bool:
    """Whether what speaks of the instant `as_of` counts no longer: it is more than `days` days old at `now`.

    Both instants are seconds since the epoch. Whoever shows a prediction, to a person or to a program, asks here.
    """
    return now - as_of > days * SECONDS_OF_A_DAY


class Daily(Spec):
    """Every day at `at`, local time in `timezone`.

    The run waits until the day's files have landed and become tables, but not longer than until `wait_until`, by
    default for an hour.
    """

    at: TimeOfDay
    timezone: TimeZone
    wait_until: TimeOfDay | None = None

    @property
    def cut_off(self) -> str:
        """The time of day from which on the run waits for no file any more."""
        return self.wait_until or minutes_after(self.at, PATIENCE_MINUTES)


class Weekly(Spec):
    """Every week on `day` at `at`, local time in `timezone`."""

    day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    at: TimeOfDay
    timezone: TimeZone


class CatchUp(Spec):
    """How missing and failed days are repaired automatically.

    Days among the newest `days` without predictions are requested, newest first, at most `runs_at_once` at a time; a
    day is given up after `attempts` runs, until one of its inputs changes. Of the newest `rescore_days` days, those
    that late data changed are scored again, every night; 0: none but the newest.
    """

    days: PositiveInt = 7
    attempts: PositiveInt = 3
    runs_at_once: PositiveInt = 2
    rescore_days: NonNegativeInt = 14


def deadline_of(schedule: Daily, deadline: str | None) -> str:
    """By which time of day readers must have the newest predictions: as declared, or an hour after the cut-off.

    Raises:
        ValueError: when the run may still be waiting then.
    """
    given = deadline or minutes_after(schedule.cut_off, PATIENCE_MINUTES)
    if minutes_from(schedule.at, given) <= minutes_from(schedule.at, schedule.cut_off):
        raise ValueError(
            f"deadline {given} comes before the run stops waiting for files at {schedule.cut_off}; "
            "declare a later deadline, or an earlier schedule.wait_until"
        )
    return given
