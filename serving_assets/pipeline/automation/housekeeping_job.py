"""The nightly job that removes: persons whose erasure is due, and what no rollback needs any more.

Here: the job and its schedule. Not here: what is removed (pipeline/privacy/erase_person.py,
pipeline/privacy/retention.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from serving_assets.pipeline.dagster_instance.step_metadata import RETRIES, permanent_errors
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.privacy import erase_person, retention

AT = "30 2 * * *"
Work = Callable[[Platform, dg.DagsterInstance], Mapping[str, Any]]


def housekeeping_job() -> dg.JobDefinition:
    """Return the job: two steps that fail independently."""
    erase_due = _step(
        "erase_due",
        _erase_due,
        "Erase the persons whose legal delay has ended, and check earlier erasures.",
    )
    retain = _step(
        "retain",
        _retain,
        "Remove versions, rows, documents and files that are no longer needed.",
    )

    @dg.job(description="Erases the persons whose erasure is due, and removes what no rollback needs any more.")
    def housekeeping() -> None:
        erase_due()
        retain()

    return housekeeping


def housekeeping_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Return the schedule of every night, before the first scores are due."""
    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=AT,
        execution_timezone="UTC",
        description="Runs housekeeping every night at 02:30 UTC, before the first scores are due.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _step(name: str, work: Work, description: str) -> dg.OpDefinition:
    def run(context: dg.OpExecutionContext) -> None:
        context.add_output_metadata(permanent_errors(work)(context.resources.platform, context.instance))

    run.__annotations__ = {"context": dg.OpExecutionContext}  # Dagster compares the class, and meets a string otherwise
    return dg.op(name=name, description=description, required_resource_keys={"platform"}, retry_policy=RETRIES)(run)


def _erase_due(platform: Platform, instance: dg.DagsterInstance) -> Mapping[str, Any]:
    carried_out = erase_person.erase(platform, instance, erase_person.due(platform))
    rows = [{"subject": request.subject[:12], "removed": sum(request.removed.values())} for request in carried_out]
    return {"erased": len(rows), "receipts": _table(rows, ("subject", "removed"))}


def _retain(platform: Platform, _: dg.DagsterInstance) -> Mapping[str, Any]:
    removed = retention.retain(platform)
    rows = [vars(found) for found in removed]
    facts = {"files": sum(found.files for found in removed), "bytes": sum(found.bytes for found in removed)}
    return {**facts, "removed": _table(rows, ("what", "where", "rows", "files", "bytes"))}


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dg.TableMetadataValue:
    schema = dg.TableSchema([dg.TableColumn(name) for name in columns])
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows], schema=schema)
