"""What checks have recorded, in plain values: the failures that stand, and the history of one check.

Here: asking the event log. Not here: what a failure refuses (pipeline/stages/input_gates.py) or alerts about
(pipeline/observing/).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from serving_assets.lake import DayRange
from serving_assets.pipeline.dagster_instance import materializations

FAILED_DAYS = "failed_days"
"""Metadata of an evaluation over a range of days: those that failed. Without it, all of them did."""
FAILURES_READ = 1_000
"""Of one check, newest first. A window has at most a year of days, and a day that is fixed fails no longer."""
_ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
"""Without those that a run has only planned: its own among them."""
_PASSED, _FAILED = {AssetCheckExecutionRecordStatus.SUCCEEDED}, {AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True)
class CheckRecord:
    """One evaluation of a check, the event that recorded it, and its run (empty outside of runs)."""

    run_id: str
    evaluation: dg.AssetCheckEvaluation
    event: dg.EventLogEntry


def failed_days_of(evaluation: dg.AssetCheckEvaluation) -> frozenset[date] | None:
    """Return the days that an evaluation failed for; None when it failed for all that its run was for."""
    stated = getattr(evaluation.metadata.get(FAILED_DAYS), "value", None)
    return frozenset(map(date.fromisoformat, stated)) if isinstance(stated, Sequence) else None


def failed_days(
    instance: dg.DagsterInstance, asset: dg.AssetKey, check: str, days: DayRange | None
) -> list[date | None]:
    """Return the `days` whose newest materialization failed a check as an error.

    Without days, it is the newest materialization of all that counts: [None] when it failed.
    """
    failed = evaluations(instance, dg.AssetCheckKey(asset, check), FAILURES_READ, passed=False)
    severe = {
        one.run_id: failed_days_of(one.evaluation)
        for one in reversed(failed)
        if one.evaluation.severity == dg.AssetCheckSeverity.ERROR
    }
    newest = _newest_runs(instance, asset, days) if severe else {}
    unfit = ((day, severe[run_id]) for day, run_id in newest.items() if run_id in severe)
    return [day for day, stated in unfit if day is None or stated is None or day in stated]


def _newest_runs(instance: dg.DagsterInstance, asset: dg.AssetKey, days: DayRange | None) -> dict[date | None, str]:
    """The run of the newest materialization, by day; by None without days."""
    if days is None:
        newest = materializations.newest_of(instance, [asset]).get(asset)
        return {None: newest.run_id} if newest else {}
    by_day = materializations.newest_by_partition(instance, asset, map(str, days.days()))
    return {date.fromisoformat(partition): made.run_id for partition, made in by_day.items()}


def failing(instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> list[CheckRecord]:
    """Return the newest evaluation of each check whose newest one did not pass."""
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    return _plain(record for record in newest.values() if record.status in _FAILED)


def evaluations(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, limit: int, *, passed: bool | None = None
) -> list[CheckRecord]:
    """Return the last evaluations of a check, newest first; `passed` keeps those that passed, or that did not."""
    status = _ENDED if passed is None else _PASSED if passed else _FAILED
    return _plain(instance.event_log_storage.get_asset_check_execution_history(check, limit=limit, status=status))


def _plain(records: Iterable[AssetCheckExecutionRecord]) -> list[CheckRecord]:
    return [
        CheckRecord(record.run_id, record.evaluation, record.event)
        for record in records
        if record.evaluation is not None and record.event is not None
    ]
