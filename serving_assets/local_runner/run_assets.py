"""Run assets in this process, on the Dagster instance, and return the outcome.

Here: one run, its outcome in plain values. Not here: which runs a backfill consists of (backfill_steps.py), or how they
are shown (cli.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

from serving_assets.lake import DayRange
from serving_assets.pipeline.dagster_instance.events import is_check_failure, plain_numbers, step_failure
from serving_assets.pipeline.dagster_instance.processes import this_process
from serving_assets.pipeline.dagster_instance.tags import PROCESS_TAG, range_tags
from serving_assets.pipeline.prices import COST

OF_EACH_DAY = ("rows", "rejected_rows", "bytes", COST, "dagster/partition_row_count")
"""What each materialization of a range records for its own day; the rest is that of the whole range."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Made:
    """One materialization: the asset, its partition if it has one, and the numbers it recorded."""

    asset: str
    partition: str | None
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one run did. `failures` name each failed step or blocking check, and why."""

    run_id: str
    days: DayRange | None
    made: tuple[Made, ...]
    failures: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def success(self) -> bool:
        """Whether every step ran and no blocking check failed."""
        return not self.failures


def run_assets(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    keys: Iterable[dg.AssetKey],
    days: DayRange | date | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Outcome:
    """Materialize `keys` in one run: for one day, for a range of days at once, or, without days, unpartitioned ones."""
    job = defs.resolve_implicit_global_asset_job_def()
    run_tags = {**(tags or {}), PROCESS_TAG: this_process()}
    partition = None
    if isinstance(days, DayRange) and days.first != days.last:
        run_tags |= range_tags(days)
    elif days is not None:
        partition = str(days.first if isinstance(days, DayRange) else days)
    result = job.execute_in_process(
        instance=instance,
        asset_selection=list(keys),
        partition_key=partition,
        tags=run_tags,
        run_config={**QUIET, **({"ops": dict(config)} if config else {})},
        raise_on_error=False,
    )
    return _outcome(result, DayRange(days, days) if isinstance(days, date) else days)


def _outcome(result: dg.ExecuteInProcessResult, days: DayRange | None) -> Outcome:
    made: dict[str, Made] = {}
    failures: list[str] = []
    warnings: list[str] = []
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            found = event.step_materialization_data.materialization
            assert found.asset_key is not None
            name, numbers = found.asset_key.to_user_string(), plain_numbers(found)
            if name in made:  # a run over a range records one materialization a day, of one step
                numbers |= {n: made[name].numbers[n] + numbers[n] for n in OF_EACH_DAY if n in numbers}
            made[name] = Made(name, None if name in made else found.partition, numbers)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed:
                message = f"{check.asset_key.to_user_string()} {check.check_name}: {check.description}"
                blocks = check.blocking and check.severity == dg.AssetCheckSeverity.ERROR
                (failures if blocks else warnings).append(message)
        elif event.is_step_failure and not is_check_failure(event):
            failures.append(step_failure(event))
    if not result.success and not failures:
        failures.append(_run_failure(result))
    return Outcome(result.run_id, days, tuple(made.values()), tuple(failures), tuple(warnings))


def _run_failure(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed in which no step did: a resource that cannot be opened, a signal between two steps."""
    ends = [event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_FAILURE]
    error = ends[-1].job_failure_data.error if ends else None
    why = (error.cause or error).message.strip() if error else "no reason is recorded."
    return f"Run {result.run_id[:8]} failed outside of its steps: {why}"
