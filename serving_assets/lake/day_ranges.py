"""Days as ranges: the fewest that cover some days, and pieces of one that a run takes at once.

Here: pure functions over days. Not here: a range itself, and what it selects in a table (lake/selection.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from serving_assets.lake.selection import DayRange

CHUNK_DAYS = 100
"""Days that heavy stages take in one run; memory grows with it, the overhead shrinks."""


def ranges(days: Iterable[date]) -> list[DayRange]:
    """Ascending days as the fewest ranges."""
    ranges: list[DayRange] = []
    for day in days:
        if ranges and ranges[-1].last + timedelta(days=1) == day:
            ranges[-1] = DayRange(ranges[-1].first, day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


def chunks(days: DayRange, size: int = CHUNK_DAYS) -> list[DayRange]:
    """`days` in pieces of at most `size`, oldest first."""
    firsts = range(0, len(days), size)
    starts = [days.first + timedelta(days=offset) for offset in firsts]
    return [DayRange(start, min(start + timedelta(days=size - 1), days.last)) for start in starts]
