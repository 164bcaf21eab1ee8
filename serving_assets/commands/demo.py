"""`demo`: a year of real data through every stage, and the screen that explains it.

Here: the order of the demo's parts and its last screen. Not here: the runs themselves (local_runner/), or the data
(demo/).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from rich.progress import Progress
from rich.table import Table

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.commands.backfill import print_summary, summary, tracked, until_failure
from serving_assets.commands.screen import console, progress_bar
from serving_assets.commands.show import print_predictions
from serving_assets.commands.train import gap_table, model_table
from serving_assets.demo import DAILY, NEWEST_DAY, ON_REQUEST, SNAPSHOTS, LandedFiles, land
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.run_assets import Outcome
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.observing.fallback_gap import fallback_gap
from serving_assets.settings import get_settings, remember_first_day
from serving_assets.store import read

DOMAIN = "complete_journey"
"""Whose data the demo has: every use case of this domain is run."""
SCORED_DAYS = 7
"""How many of the newest days the demo scores; a backfill does the others."""

STAGES = (
    "raw",
    "mapped",
    "training_set",
    "model",
    "champion",
    "features",
    "predictions",
    "historic",
    "latest",
    "online",
)


def land_files(
    bar: Progress,
    first: date | None = None,
    last: date | None = None,
    ending: date | None = None,
    *,
    original_dates: bool = False,
    promotions: bool = False,
    today: date | None = None,
) -> LandedFiles:
    """Drop what has arrived into the landing zone, and make its first day the domain's first partition."""
    if not get_settings().lands_here:
        raise InputError("The demo drops files into a folder, and LANDING_URI is none.", hint="Unset LANDING_URI.")
    task = bar.add_task("landing files", total=None)
    landed = land(
        get_settings().landing,
        first,
        last,
        ending=NEWEST_DAY if original_dates else ending,
        sources=(*DAILY, *SNAPSHOTS, *(ON_REQUEST if promotions else ())),
        today=today,
        progress=lambda _, done, total: bar.update(task, completed=done, total=total),
    )
    remember_first_day(DOMAIN, landed.shift.first)
    return landed


def print_landed(landed: LandedFiles) -> None:
    """What has landed, and what comes next."""
    console.print(
        f"LandedFiles {landed.files:,} new files with {landed.rows:,} rows, {landed.first} to {landed.newest}; "
        f"{landed.unchanged:,} files were there already."
    )
    if landed.shift.weeks:
        console.print(
            f"All dates are moved by {landed.shift.weeks} weeks; the data's last day is {landed.shift.newest}."
        )


def run_demo(today: date | None = None) -> int:
    """Everything, end to end; goes on where an earlier call stopped. Returns the exit code.

    Args:
        today: the day on which it is called, by default the clock's.
    """
    started = time.monotonic()
    with progress_bar() as bar:
        landed = land_files(bar, today=today)
        workspace = Workspace()
        use_cases = [found for found in workspace.catalog.use_cases.values() if found.domain.name == DOMAIN]
        outcomes: list[Outcome] = []
        for use_case in use_cases:
            own = _run(workspace, use_case, landed, bar)
            if not all(outcome.success for outcome in own):
                print_summary(summary(use_case.name, own))
                return 1
            outcomes += own
    _print_end(workspace, use_cases, outcomes, time.monotonic() - started)
    return 0


def _run(workspace: Workspace, use_case: BoundUseCase, landed: LandedFiles, bar: Progress) -> list[Outcome]:
    defs, instance = workspace.defs, workspace.instance
    arrived = DayRange(landed.shift.first, landed.newest)
    unbuilt = backfill_steps.missing_days(instance, use_case, workspace.catalog, arrived)
    tables = (
        o for days in unbuilt for o in backfill_steps.backfill_tables(defs, instance, workspace.catalog, use_case, days)
    )
    done = list(until_failure(tracked(bar, "raw and mapped tables, in days", sum(map(len, unbuilt)), tables)))
    if not all(outcome.success for outcome in done):
        return done
    if workspace.platform.registry.champion(use_case.name) is None:
        done += tracked(bar, "training", 1, (backfill_steps.train(defs, instance, use_case) for _ in range(1)))
        if not done[-1].success:
            return done
    newest = DayRange(landed.newest - timedelta(days=SCORED_DAYS - 1), landed.newest)
    unscored = backfill_steps.unscored_days(instance, use_case, newest)
    days = [day for found in unscored for day in found.days()]
    scored = backfill_steps.backfill_predictions(defs, instance, use_case, days)
    done += tracked(bar, "predictions, in days", len(days), scored)
    done += tracked(bar, "publication", 1, (backfill_steps.publish(defs, instance, use_case) for _ in range(1)))
    return done


def _print_end(
    workspace: Workspace, use_cases: Sequence[BoundUseCase], outcomes: Iterable[Outcome], seconds: float
) -> None:
    console.print()
    console.print(f"[bold]What ran[/], in {seconds:.0f} seconds; every run is in the Dagster UI (make ui)")
    console.print(_stages(outcomes))
    for use_case in use_cases:
        if facts := workspace.newest_numbers(f"{use_case.name}/model"):
            console.print(f"[bold]{use_case.name}[/], on {facts['holdout_rows']:,} held-out predictions it never saw")
            console.print(model_table(facts))
        if gap := fallback_gap(workspace.platform, use_case):
            console.print(f"[bold]What the fallback costs[/], on the {gap.rows:,} of these with a basket that day")
            console.print(gap_table(gap))
    for use_case in use_cases:
        if use_case.spec.serve.published:
            _print_published(workspace, use_case)


def _print_published(workspace: Workspace, use_case: BoundUseCase) -> None:
    """Some predictions, and how to ask for them."""
    name, known = use_case.name, workspace.some_entities(use_case, 5)
    console.print(f"[bold]Five predictions[/], as readers get them: {use_case.spec.description}")
    found = read(workspace.platform.store, name, known).values
    print_predictions([f for f in found if f], use_case.spec.entity.key)
    console.print()
    console.print("[bold]Next[/]")
    for command, what in (
        (f".venv/bin/serving-assets show {name} {known[0]}", "one prediction"),
        ("make api", "the prediction API; docs/demo.md asks it"),
        (".venv/bin/serving-assets status", "how far everything is"),
        ("make ui", "the assets, checks and plots, in the browser"),
    ):
        console.print(f"  {command:<55} {what}")


def _stages(outcomes: Iterable[Outcome]) -> Table:
    totals: dict[str, dict[str, float]] = {}
    for outcome in outcomes:
        for made in outcome.made:
            layer, _, name = made.asset.partition("/")
            stage = totals.setdefault(
                layer if layer in STAGES else name, dict.fromkeys(("rows", "seconds", "cpu"), 0.0)
            )
            stage["rows"] += 0 if made.numbers.get("unchanged") else made.numbers.get("rows", 0)
            stage["seconds"] += made.numbers.get("seconds", 0)
            stage["cpu"] += made.numbers.get("cpu_seconds", 0)
    table = Table("stage", box=None, header_style="bold", padding=(0, 2))
    for header in ("rows", "seconds", "CPU seconds"):
        table.add_column(header, justify="right")
    for name in (name for name in STAGES if name in totals):
        found = totals[name]
        rows = f"{found['rows']:,.0f}" if found["rows"] else ""
        table.add_row(name, rows, f"{found['seconds']:.1f}", f"{found['cpu']:.1f}")
    return table
