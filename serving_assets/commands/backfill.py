"""`backfill`: a range of days of one or all use cases, with a bar, and a table of what failed.

Here: progress and the summary. Not here: which runs it consists of (pipeline/operations/backfill.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.progress import Progress

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.commands.screen import console, progress_bar
from serving_assets.lake import DayRange
from serving_assets.pipeline.operations import backfill
from serving_assets.pipeline.operations.runs import Outcome
from serving_assets.pipeline.workspace import Workspace


def run_backfill(
    workspace: Workspace, use_case: BoundUseCase, days: DayRange, *, only_tables: bool = False
) -> list[Outcome]:
    """All runs of the backfill, with a bar for each phase.

    The tables stop at the first failed chunk, because what follows would read gaps; predictions go on, day by day.

    Raises:
        InputError: for days that have no partition.
    """
    defs, instance = workspace.defs, workspace.instance
    backfill.refuse_days_without_partition(workspace.platform.partitions(use_case.domain.timezone), days)
    with progress_bar() as bar:
        tables = backfill.backfill_tables(defs, instance, workspace.catalog, use_case, days)
        done = list(until_failure(tracked(bar, "raw and mapped tables, in days", len(days), tables)))
        if all(outcome.success for outcome in done) and not only_tables:
            scored = backfill.backfill_predictions(defs, instance, use_case, days)
            done += tracked(bar, "predictions, in days", len(days), scored)
        if any(made.asset.endswith("/historic") for outcome in done for made in outcome.made):
            done += tracked(bar, "publication", 1, iter([backfill.publish(defs, instance, use_case)]))
    return done


def tracked(bar: Progress, label: str, total: int, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The same outcomes, the bar moved by the days of each as it arrives; no bar where there is nothing to do."""
    if not total:
        return
    task = bar.add_task(label, total=total)
    for outcome in outcomes:
        bar.advance(task, len(outcome.days) if outcome.days else 1)
        yield outcome


def until_failure(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Outcomes up to and including the first that failed."""
    for outcome in outcomes:
        yield outcome
        if not outcome.success:
            return


def summary(use_case: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """What a script wants to know of a backfill."""
    return {
        "use_case": use_case,
        "runs": len(outcomes),
        "failed": [
            {
                "run_id": o.run_id,
                "days": [str(o.days.first), str(o.days.last)] if o.days else None,
                "why": list(o.failures),
            }
            for o in outcomes
            if not o.success
        ],
        "warnings": [warning for outcome in outcomes for warning in outcome.warnings],
    }


def print_summary(found: dict[str, Any]) -> None:
    """The end of a backfill as a screen."""
    failed = found["failed"]
    console.print(f"[bold]{found['use_case']}[/]: {found['runs'] - len(failed)} of {found['runs']} runs succeeded")
    for warning in found["warnings"]:
        console.print(f"  [yellow]warn[/] {warning}", markup=True)
    for run in failed:
        when = f"{run['days'][0]} to {run['days'][1]}" if run["days"] else "publication"
        console.print(f"  [red]failed[/] {when} (run {run['run_id'][:8]})")
        for why in run["why"]:
            console.print(f"    {why}", markup=False)
