"""A run as plain values, and the statuses that tell whether it has ended.

Here: what automation asks about runs. Not here: their tags (tags.py), or asking the instance (dagster_view.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES

ENDED = frozenset(FINISHED_STATUSES)
UNFINISHED = frozenset(NOT_FINISHED_STATUSES)


@dataclass(frozen=True)
class RunSummary:
    """One run.

    Attributes:
        assets: the assets that it was launched for; empty when it was launched for all of its job.
        began, ended: instants, None until they come.
    """

    run_id: str
    job: str
    status: dg.DagsterRunStatus
    tags: Mapping[str, str] = field(default_factory=dict)
    assets: frozenset[dg.AssetKey] = frozenset()
    began: datetime | None = None
    ended: datetime | None = None


def summary_of(record: dg.RunRecord) -> RunSummary:
    """Return the run of a record as plain values."""
    run = record.dagster_run
    return RunSummary(
        run.run_id,
        run.job_name,
        run.status,
        run.tags,
        frozenset(run.asset_selection or ()),
        _instant(record.start_time),
        _instant(record.end_time),
    )


def _instant(timestamp: float | None) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
