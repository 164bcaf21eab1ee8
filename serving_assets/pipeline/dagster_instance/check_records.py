"""What checks have recorded, in plain values: the failures that stand, and the history of one check.

Here: asking the event log. Not here: what a failure refuses (pipeline/stages/input_gates.py) or alerts about
(pipeline/observing/).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

_ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
"""Without those that a run has only planned: its own among them."""
_PASSED, _FAILED = {AssetCheckExecutionRecordStatus.SUCCEEDED}, {AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True)
class CheckRecord:
    """One evaluation of a check, the event that recorded it, and its run (empty outside of runs)."""

    run_id: str
    evaluation: dg.AssetCheckEvaluation
    event: dg.EventLogEntry


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
