"""`backfill`: a range of days of one or all use cases, with a bar, and a table of what failed.

Here: progress and the summary. Not here: which runs it consists of (local_runner/backfill_steps.py), or the commands
that look at one, pause and resume it (backfills.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.progress import Progress, TaskID

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.commands.screen import console, progress_bar
from serving_assets.lake import DayRange
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.backfill import carry_out
from serving_assets.local_runner.run_assets import Outcome
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.automation.backfill_record import Backfill, Phase, order, progress_of

LABELS = {
    Phase.TABLES: "raw and mapped tables, in days",
    Phase.PREDICTIONS: "predictions, in days",
    Phase.PUBLICATION: "publication",
}


def run_backfill(
    workspace: Workspace, use_case: BoundUseCase, days: DayRange, *, only_tables: bool = False
) -> list[Outcome]:
    """All runs of a new backfill, with a bar for each phase.

    Raises:
        InputError: for days that have no partition.
    """
    backfill_steps.refuse_days_without_partition(workspace.platform, use_case, days)
    return go_on(workspace, order(workspace.view, use_case, days, only_tables=only_tables))


def go_on(workspace: Workspace, ordered: Backfill) -> list[Outcome]:
    """What is left of a backfill, until its end or until it is paused."""
    done: list[Outcome] = []
    with progress_bar() as bar:
        bar.console.print(
            f"Backfill {ordered.id} of {ordered.use_case}, {ordered.days}. "
            f"Pause it with: serving-assets backfills pause {ordered.id}"
        )
        tasks: dict[Phase, TaskID] = {}
        for phase, outcome in carry_out(workspace, ordered, _announcing(bar)):
            if phase not in tasks:
                tasks[phase] = bar.add_task(LABELS[phase], total=_left(workspace, ordered, phase, outcome))
            bar.advance(tasks[phase], len(outcome.days) if outcome.days else 1)
            done.append(outcome)
    return done


def _left(workspace: Workspace, ordered: Backfill, phase: Phase, first: Outcome) -> int:
    """Days of a phase that are to be done, now that its first run has ended; 1 for the publication."""
    if first.days is None:
        return 1
    progress = progress_of(workspace.view, ordered.id)
    done = progress.tables if phase is Phase.TABLES else progress.scored
    return len(set(ordered.days.days()) - done | set(first.days.days()))


def _announcing(bar: Progress) -> Callable[[str], None]:
    announced = set[str]()

    def announce(run_id: str) -> None:
        if run_id not in announced:
            announced.add(run_id)
            bar.console.print(f"Waiting for run {run_id[:8]}, which goes first because readers wait for it.")

    return announce


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
