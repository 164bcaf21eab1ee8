"""Declarations of time: schedules, until when a run waits, and how late days are caught up.

Here: times of day in a time zone, and what is derived from them. Not here: the rest of a use case (spec.py), or
anything that ticks (pipeline/automation/).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, NonNegativeInt, PositiveInt

from serving_assets.catalog.columns import Spec

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
