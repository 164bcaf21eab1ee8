"""How long a front end may keep an answer: until the next publish is due.

Here: the schedule turned into a Cache-Control header. Not here: the validators (serving/lookup.py).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from serving_assets.catalog.serve import Serve
from serving_assets.catalog.spec import Daily
from serving_assets.serving.reading.cache import Version

OVERDUE_SECONDS = 30
"""How long an answer may be kept while its successor can appear at any moment."""

STALE = b"private, max-age=5"


def seconds_to_keep(schedule: Daily, published_at: datetime, now: datetime) -> int:
    """Seconds until the next publish is due; few when one is due already."""
    hours, minutes = map(int, schedule.at.split(":"))
    local = now.astimezone(ZoneInfo(schedule.timezone))
    today = local.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    last = today if today <= local else today - timedelta(days=1)
    if published_at < last:
        return OVERDUE_SECONDS
    due = (last + timedelta(days=1)).astimezone(UTC)
    return max(int((due - now.astimezone(UTC)).total_seconds()), 1)


class Freshness:
    """The Cache-Control header of one use case, computed once a second and version."""

    def __init__(self, schedule: Daily, serve: Serve) -> None:
        self._schedule, self._serve = schedule, serve
        self._at: tuple[int, Version] | None = None
        self._header = b""

    def header(self, version: Version) -> bytes:
        """The header of an answer made now from `version`."""
        now = int(time.time())
        if self._at is None or self._at[0] != now or self._at[1] is not version:
            self._at = (now, version)
            published = datetime.fromisoformat(version.published_at)
            keep = seconds_to_keep(self._schedule, published, datetime.fromtimestamp(now, UTC))
            self._header = (
                f"private, max-age={min(keep, self._serve.max_age_seconds)}"
                f", stale-while-revalidate={self._serve.stale_while_revalidate_seconds}"
                f", stale-if-error={self._serve.stale_if_error_seconds}"
            ).encode()
        return self._header
