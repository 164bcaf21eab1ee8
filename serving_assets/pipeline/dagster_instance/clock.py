"""The clock that Dagster's own schedules and sensors go by, which a test can stop.

Here: the present instant. Not here: days and deadlines (pipeline/automation/calendar.py).
"""

from __future__ import annotations

from datetime import datetime

from dagster._time import get_current_datetime


def now() -> datetime:
    """Return the present instant, in UTC."""
    return get_current_datetime()
