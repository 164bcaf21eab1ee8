"""The tags of runs: those that this project writes, and the days that Dagster's name.

Here: names as they are stored, and reading them. Not here: which run carries which (pipeline/automation/,
local_runner/).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from serving_assets.lake import DayRange

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
    """The days that a run's tags name; None for a run without partitions."""
    first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or first
    return DayRange(date.fromisoformat(first), date.fromisoformat(last)) if first and last else None
