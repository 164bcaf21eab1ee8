"""The tags of runs: those that this project writes, and those of Dagster's that it reads or sets.

Here: names as they are stored, and reading them. Not here: which run carries which (pipeline/automation/,
local_runner/).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
    ROOT_RUN_ID_TAG,
    SCHEDULE_NAME_TAG,
    WILL_RETRY_TAG,
)

from serving_assets.lake import DayRange

__all__ = [
    "BACKFILL_ID_TAG",
    "BACKFILL_TAG",
    "DAYS_TAG",
    "FIXES_TAG",
    "INPUTS_TAG",
    "PARTITION_NAME_TAG",
    "PHASE_TAG",
    "PRIORITY_TAG",
    "PROCESS_TAG",
    "ROOT_RUN_ID_TAG",
    "SCHEDULE_NAME_TAG",
    "days_of",
    "range_tags",
    "will_be_retried",
]

BACKFILL_TAG = "serving_assets/backfill"
"""The backfill of a command that a run belongs to."""
PHASE_TAG = "serving_assets/phase"
"""The part of a backfill that a run does."""
PROCESS_TAG = "serving_assets/process"
"""Host and process id of the command that executes a run."""
DAYS_TAG = "serving_assets/days_of"
"""On every run of single days of a use case; the queue lets one of them in at a time."""
FIXES_TAG = "serving_assets/mends"
"""The gap that a run closes, `<use_case>/<day or publication>`; the stored name is that of the first release."""
INPUTS_TAG = "serving_assets/inputs"
"""The state of the inputs when a run that closes a gap was requested."""


def days_of(tags: Mapping[str, str]) -> DayRange | None:
    """Return the days that a run's tags name; None for a run without partitions."""
    first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or first
    return DayRange(date.fromisoformat(first), date.fromisoformat(last)) if first and last else None


def range_tags(days: DayRange) -> dict[str, str]:
    """Return the tags that make one run materialize a range of days at once."""
    return {ASSET_PARTITION_RANGE_START_TAG: str(days.first), ASSET_PARTITION_RANGE_END_TAG: str(days.last)}


def will_be_retried(tags: Mapping[str, str]) -> bool:
    """Return whether Dagster retries a failed run by itself."""
    return tags.get(WILL_RETRY_TAG) == "true"
