"""The calendar of a use case's schedule: which day a tick scores, when it stops waiting, which deadline has passed.

Here: pure functions of a declaration and an instant. Not here: the schedule (pipeline/automation/daily_schedule.py).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.timing import minutes_from, newest_ended_day


def day_of(use_case: BoundUseCase, tick: datetime) -> date:
    """Return the day that had ended, in the domain's time zone, when the schedule of this tick began."""
    at = use_case.spec.schedule
    local = tick.astimezone(ZoneInfo(at.timezone))
    begin = datetime.combine(local.date(), time.fromisoformat(at.at), local.tzinfo)
    if local.time().replace(second=0, microsecond=0) < begin.time():
        begin -= timedelta(days=1)
    return newest_ended_day(begin, use_case.domain.timezone)


def past_cut_off(use_case: BoundUseCase, tick: datetime) -> bool:
    """Return whether the schedule of this tick waits for no file any more."""
    at = use_case.spec.schedule
    local = tick.astimezone(ZoneInfo(at.timezone)).strftime("%H:%M")
    return minutes_from(at.at, local) >= minutes_from(at.at, at.cut_off)


def newest_due(use_case: BoundUseCase, now: datetime) -> date:
    """Return the newest day whose deadline has passed."""
    at = use_case.spec.schedule
    local = now.astimezone(ZoneInfo(at.timezone))
    deadline = datetime.combine(local.date(), time.fromisoformat(use_case.spec.due_at), local.tzinfo)
    return day_of(use_case, deadline if deadline <= local else deadline - timedelta(days=1))
