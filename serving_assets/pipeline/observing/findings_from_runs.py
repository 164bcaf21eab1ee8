"""What runs that have ended report: checks that failed or pass again, steps that failed, workers that died.

Here: reading the event log from a cursor on. Not here: what is no event of a run (findings_from_state.py), or what
follows from a finding (alerts/).

Open-source Dagster has no sensor for checks, and the event log of its SQLite storage cannot be asked for the
evaluations of all runs. So the runs that have ended are read one by one, in the order in which they ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import groupby, takewhile
from typing import Any

import dagster as dg

from serving_assets.alerts.records import ALL, Days, Finding, Severity
from serving_assets.lake import DayRange
from serving_assets.pipeline.dagster_instance import check_records
from serving_assets.pipeline.dagster_instance.check_examples import EXAMPLES
from serving_assets.pipeline.dagster_instance.events import cursor_after, is_check_failure, step_failure
from serving_assets.pipeline.dagster_instance.step_metadata import cause_of, hint_of
from serving_assets.pipeline.dagster_instance.tags import days_of, will_be_retried
from serving_assets.pipeline.observing.finding_builder import (
    BLOCKED,
    EXAMPLES_SHOWN,
    NOT_BLOCKED,
    OF_A_STEP,
    RUN_DIED,
    RUN_FAILED,
    STEP_FAILED,
    FindingBuilder,
)

Event = dg.DagsterEventType
ENDS = (Event.RUN_SUCCESS, Event.RUN_FAILURE, Event.RUN_CANCELED)
TOLD_BY_RUNS = {
    Event.ASSET_CHECK_EVALUATION,
    Event.ASSET_MATERIALIZATION,
    Event.ASSET_MATERIALIZATION_PLANNED,
    Event.STEP_START,
    Event.STEP_SUCCESS,
    Event.STEP_FAILURE,
}
RUNLESS = {Event.ASSET_CHECK_EVALUATION, Event.ASSET_MATERIALIZATION}
RUNS_OF_A_LOOK = 50
RECORDS_OF_A_LOOK = 500
SETTLED_SECONDS = 3.0
"""Younger events wait for the next look: a number that was given earlier may become visible later, and Dagster notes
only after a failure whether it will try again."""


@dataclass(frozen=True)
class Cursor:
    """How far the event log has been read: the ends of runs, and events outside of runs; and the newest survey."""

    ends: int
    runless: str | None = None
    surveyed: float = 0.0


def end_of_log(instance: dg.DagsterInstance) -> Cursor:
    """The cursor that leaves out everything before now."""
    newest = [r.storage_id for kind in ENDS for r in instance.fetch_run_status_changes(kind, limit=1).records]
    runless, more = None, True
    while more:
        page = instance.get_records_for_run("", runless, RUNLESS, RECORDS_OF_A_LOOK)
        runless, more = page.cursor, page.has_more
    return Cursor(max(newest, default=0), runless)


def failing_now(instance: dg.DagsterInstance, builder: FindingBuilder) -> Iterator[Finding]:
    """Checks whose newest evaluation did not pass."""
    keys = list(builder.graph.asset_check_keys)
    for record in check_records.failing(instance, keys):
        yield from _evaluations(builder, record.event, ALL)


def since(
    instance: dg.DagsterInstance, builder: FindingBuilder, cursor: Cursor, now: datetime
) -> tuple[list[Finding], Cursor]:
    """What was recorded after `cursor`, by runs that have ended and outside of runs, and how far that is.

    Both are read up to the same moment: a failure in a run must not be met after its repair outside of one.
    """
    ended = _ended(instance, cursor.ends)
    page = instance.get_records_for_run("", cursor.runless, RUNLESS, RECORDS_OF_A_LOOK)
    until = now.timestamp() - SETTLED_SECONDS
    if len(ended) == RUNS_OF_A_LOOK:
        until = min(until, ended[-1][1])
    if page.has_more:
        until = min(until, page.records[-1].timestamp)
    found: list[Finding] = []
    for storage_id, _, run_id in takewhile(lambda one: one[1] <= until, ended):
        run = instance.get_run_by_id(run_id)
        if run is not None:
            found += _of_run(instance, builder, run, _ended_at(instance, run))
        cursor = replace(cursor, ends=storage_id)
    for record in takewhile(lambda one: one.timestamp <= until, page.records):
        found += _of_event(builder, record.event_log_entry, ALL)
        cursor = replace(cursor, runless=cursor_after(record.storage_id))
    return sorted(found, key=lambda finding: finding.at), cursor


def _ended(instance: dg.DagsterInstance, after: int) -> list[tuple[int, float, str]]:
    """The oldest runs that ended after the event `after`: number and time of the event, and the run."""
    cursor = cursor_after(after)
    found: list[tuple[int, float, str]] = []
    for kind in ENDS:
        records = instance.fetch_run_status_changes(kind, RUNS_OF_A_LOOK, cursor, ascending=True).records
        found += [(r.storage_id, r.timestamp, r.run_id) for r in records]
    return sorted(found)[:RUNS_OF_A_LOOK]


def _ended_at(instance: dg.DagsterInstance, run: dg.DagsterRun) -> datetime:
    return datetime.fromtimestamp(_end(instance, run.run_id) or 0.0, UTC)


def _of_run(
    instance: dg.DagsterInstance, builder: FindingBuilder, run: dg.DagsterRun, ended_at: datetime
) -> Iterator[Finding]:
    events = instance.all_logs(run.run_id, of_type=TOLD_BY_RUNS)
    days = days_of_run(run)
    for event in events:
        found = _of_event(builder, event, days)
        yield from (one for one in found if one.severity is Severity.OK or not _passed_since(instance, event, run))
    if run.status == dg.DagsterRunStatus.SUCCESS:
        yield builder.job_finding(run.job_name, RUN_FAILED, Severity.OK, ended_at)
    elif run.status == dg.DagsterRunStatus.FAILURE and not will_be_retried(run.tags):
        failures = _failures(instance, builder, run, events, ended_at)
        yield from (one for one in failures if not _made_since(instance, builder, one, run))


def _of_event(builder: FindingBuilder, entry: dg.EventLogEntry, days: Days) -> Iterator[Finding]:
    event = entry.get_dagster_event()
    if event.event_type == Event.ASSET_CHECK_EVALUATION:
        yield from _evaluations(builder, entry, days)
    elif event.event_type == Event.ASSET_MATERIALIZATION and event.asset_key is not None:
        made = Days(event.partition, event.partition) if event.partition else days
        for kind in OF_A_STEP:
            yield builder.asset_finding(event.asset_key, kind, Severity.OK, _at(entry), made)


def _evaluations(builder: FindingBuilder, entry: dg.EventLogEntry, days: Days) -> Iterator[Finding]:
    """What an evaluation says of the days of its run: those that it failed for fail, and the others pass."""
    check = entry.get_dagster_event().asset_check_evaluation_data
    found, failed = _evaluation(builder, entry, days), check_records.failed_days_of(check)
    if found.severity is Severity.OK or not failed:
        yield found
        return
    first, last = (min(failed), max(failed)) if found.days == ALL else map(date.fromisoformat, found.days)
    groups = groupby(DayRange(first, last).days(), key=lambda day: day in failed)
    ranges = [(fails, list(each)) for fails, each in groups if fails or found.days != ALL]
    for fails, each in sorted(ranges, key=lambda one: one[0]):  # what passes first: a newer day ends an older failure
        severity = found.severity if fails else Severity.OK
        yield replace(found, days=Days(str(each[0]), str(each[-1])), severity=severity)


def _evaluation(builder: FindingBuilder, entry: dg.EventLogEntry, days: Days) -> Finding:
    check = entry.get_dagster_event().asset_check_evaluation_data
    error = check.severity == dg.AssetCheckSeverity.ERROR
    severity = Severity.OK if check.passed else Severity.ERROR if error else Severity.WARN
    blocks = bool(check.blocking) and error
    shown = EXAMPLES_SHOWN if EXAMPLES in check.metadata else ""
    if check.partition:
        days = Days(check.partition, check.partition)
    found = builder.asset_finding(
        check.asset_key,
        check.check_name,
        severity,
        _at(entry),
        days,
        message=check.description or "",
        first_step=" ".join(filter(None, (BLOCKED if blocks else NOT_BLOCKED, shown))),
        page=f"assets/{check.asset_key.to_user_string()}?view=checks&checkDetail={check.check_name}",
    )
    return replace(
        found,
        measured=_number(check.metadata, "measured"),
        threshold=_number(check.metadata, "threshold"),
        lasting=blocks and builder.is_table(check.asset_key),
    )


def _failures(
    instance: dg.DagsterInstance,
    builder: FindingBuilder,
    run: dg.DagsterRun,
    events: Sequence[dg.EventLogEntry],
    ended_at: datetime,
) -> Iterator[Finding]:
    """Why a run failed: the steps that did, apart from those that a check failed; else the steps it died in."""
    days, page = days_of_run(run), f"runs/{run.run_id}"
    recorded = [entry.get_dagster_event() for entry in events]
    failed = [event for event in recorded if event.event_type == Event.STEP_FAILURE]
    for event in failed:
        asset = builder.of_step(event.step_key or "")
        if asset is None:
            yield builder.job_finding(run.job_name, RUN_FAILED, Severity.ERROR, ended_at, message=step_failure(event))
        elif not is_check_failure(event):
            data = event.step_failure_data.user_failure_data
            hint = hint_of(data.metadata) if data else ""
            found = builder.asset_finding(
                asset,
                STEP_FAILED,
                Severity.ERROR,
                ended_at,
                days,
                message=step_failure(event),
                first_step=hint,
                page=page,
            )
            yield replace(found, cause=cause_of(data.metadata) if data else "")
    if failed:
        return
    ended = {event.step_key for event in recorded if event.event_type == Event.STEP_SUCCESS}
    begun = [event.step_key for event in recorded if event.event_type == Event.STEP_START]
    planned = [e.asset_key for e in recorded if e.event_type == Event.ASSET_MATERIALIZATION_PLANNED and e.asset_key]
    died_in = [builder.of_step(step or "") for step in begun if step not in ended] or planned[:1]
    message = _why_the_run_failed(instance, run)
    for asset in filter(None, died_in):
        yield builder.asset_finding(asset, RUN_DIED, Severity.ERROR, ended_at, days, message=message, page=page)
    if not any(died_in):
        yield builder.job_finding(run.job_name, RUN_FAILED, Severity.ERROR, ended_at, message=message, page=page)


def _why_the_run_failed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    events = instance.all_logs(run.run_id, of_type=Event.RUN_FAILURE)
    return (events[-1].get_dagster_event().message or "") if events else ""


def _passed_since(instance: dg.DagsterInstance, entry: dg.EventLogEntry, run: dg.DagsterRun) -> bool:
    """Whether the same check of the same partition passed later, in a run that ended, and was read, before `run`."""
    check = entry.get_dagster_event().asset_check_evaluation_data
    key = dg.AssetCheckKey(check.asset_key, check.check_name)
    history = check_records.evaluations(instance, key, RUNS_OF_A_LOOK, passed=True)
    later = (record for record in history if record.event.timestamp > entry.timestamp)
    same = (record for record in later if record.evaluation.partition == check.partition)
    return any(_ended_before(instance, record.run_id, run, record.event.timestamp) for record in same)


def _made_since(instance: dg.DagsterInstance, builder: FindingBuilder, failure: Finding, run: dg.DagsterRun) -> bool:
    """Whether the asset of a failure was made after the run began, in a run that ended, and was read, before it."""
    asset = dg.AssetKey(failure.key.asset.split("/"))
    if not builder.graph.has(asset):
        return False
    days = {failure.days.first, failure.days.last} - {""}
    began = instance.get_run_record_by_id(run.run_id)
    wanted = dg.AssetRecordsFilter(
        asset_key=asset,
        asset_partitions=sorted(days) or None,
        after_timestamp=began.start_time if began else None,
    )
    made = instance.fetch_materializations(wanted, limit=RUNS_OF_A_LOOK).records
    return any(_ended_before(instance, record.run_id, run) for record in made)


def _ended_before(
    instance: dg.DagsterInstance, other: str, run: dg.DagsterRun, runless_at: float | None = None
) -> bool:
    """Whether the run `other` ended before `run`; what was recorded outside of runs ended at `runless_at`."""
    its_end = _end(instance, other) if other else runless_at
    end = _end(instance, run.run_id)
    return its_end is not None and end is not None and its_end < end


def _end(instance: dg.DagsterInstance, run_id: str) -> float | None:
    record = instance.get_run_record_by_id(run_id)
    return record.end_time if record else None


def days_of_run(run: dg.DagsterRun) -> Days:
    """The days that a run was for; all of them for a run without partitions."""
    days = days_of(run.tags)
    return Days(str(days.first), str(days.last)) if days else ALL


def _number(metadata: Any, name: str) -> float | None:
    value = getattr(metadata.get(name), "value", None)
    return float(value) if isinstance(value, int | float) else None


def _at(entry: dg.EventLogEntry) -> datetime:
    return datetime.fromtimestamp(entry.timestamp, UTC)
