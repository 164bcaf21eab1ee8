"""Carry out a backfill in this process: its runs one by one, between which it pauses or gives way to daily runs.

Here: the order of its runs, and waiting. Not here: its record and its progress
(pipeline/automation/backfill_record.py), one of its runs (backfill_steps.py), or its screens (commands/).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.errors import InputError
from serving_assets.lake.day_ranges import ranges
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.run_assets import Outcome
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.automation.backfill_record import (
    Backfill,
    Phase,
    pause_requested,
    progress_of,
    record,
    withdraw_pause,
)
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.processes import this_process
from serving_assets.pipeline.dagster_instance.runs import UNFINISHED
from serving_assets.pipeline.dagster_instance.tags import BACKFILL_TAG, DAYS_TAG

RUNNING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
POLL_SECONDS = 2.0
MOST_GIVEN_WAY_SECONDS = 1_800
"""A run that takes longer hangs, and a backfill does not wait for that."""


def carry_out(
    workspace: Workspace, ordered: Backfill, gives_way: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Phase, Outcome]]:
    """Do what is left of it, run by run; between two runs it may be paused, or gives way.

    Tables first, in chunks; then features, predictions and history day by day, as many at a time as the settings say;
    one publication after all of them. A day whose tables failed is not scored, and days that failed before are tried
    again. `gives_way` is called with the run that it waits for.

    Raises:
        InputError: when another process carries it out.
    """
    view, use_case = workspace.view, workspace.catalog.use_case(ordered.use_case)
    elsewhere = ordered.state == "running" and ordered.process != this_process()
    if elsewhere and view.runs({BACKFILL_TAG: ordered.id}, UNFINISHED):
        raise InputError(f"Backfill {ordered.id} is running in {ordered.process}.", hint="Wait, or pause it first.")
    withdraw_pause(view, ordered.id)
    ordered = record(view, replace(ordered, process=this_process(), ended=""))
    work = _work(workspace, use_case, ordered)
    for phase, outcome in work:
        yield phase, outcome
        if pause_requested(view, ordered.id):
            work.close()  # waits for a day that is scored beside the one that has ended
            record(view, replace(ordered, process=""))
            return
        _give_way(view, use_case.name, gives_way)
    record(view, replace(ordered, process="", ended=datetime.now(UTC).isoformat(timespec="seconds")))


def _work(
    workspace: Workspace, use_case: BoundUseCase, ordered: Backfill
) -> Generator[tuple[Phase, Outcome], None, None]:
    defs, instance, tags = workspace.defs, workspace.instance, {BACKFILL_TAG: ordered.id}
    done, bad = progress_of(workspace.view, ordered.id), set[date]()
    for days in ranges(day for day in ordered.days.days() if day not in done.tables):
        for outcome in backfill_steps.backfill_tables(defs, instance, workspace.catalog, use_case, days, tags):
            bad |= set() if outcome.success or not outcome.days else set(outcome.days.days())
            yield Phase.TABLES, outcome
    if ordered.only_tables:
        return
    added = bool(done.scored) and not done.published
    processes = workspace.platform.settings.backfill_processes
    due = [day for day in ordered.days.days() if day not in done.scored | bad]
    for outcome in backfill_steps.backfill_predictions(
        defs, instance, use_case, due, tags, processes=processes, opens=Workspace
    ):
        added |= any(made.asset.endswith("/historic") for made in outcome.made)
        yield Phase.PREDICTIONS, outcome
    if added:
        yield Phase.PUBLICATION, backfill_steps.publish(defs, instance, use_case, tags)


def _give_way(view: InstanceView, use_case: str, waits_for: Callable[[str], None]) -> None:
    """Wait while a run of single days of the use case is running: readers wait for its result."""
    until = time.monotonic() + MOST_GIVEN_WAY_SECONDS
    while (runs := view.runs({DAYS_TAG: use_case}, RUNNING)) and time.monotonic() < until:
        waits_for(runs[0].run_id)
        time.sleep(POLL_SECONDS)
