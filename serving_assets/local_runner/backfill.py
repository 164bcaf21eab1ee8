"""A backfill as something with a name: it can be looked at, paused and resumed, and gives way to daily runs.

Here: its record, its progress, and carrying it out in this process. Not here: the runs that it consists of
(backfill_steps.py), its screens (commands/), or backfills from the UI (docs/schedules_and_backfills.md).

The record and the wish to pause stand in the instance; what is done is read off the tags of its runs, so a killed
process loses nothing but the run it was in.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.backfill_steps import Phase, ranges
from serving_assets.local_runner.run_assets import Outcome, is_dead, this_process
from serving_assets.pipeline.automation.jobs import DAYS_TAG
from serving_assets.pipeline.automation.runs_in_flight import days_of
from serving_assets.pipeline.stages.step import PHASE_TAG

if TYPE_CHECKING:
    from serving_assets.local_runner.workspace import Workspace

BACKFILL_TAG = "serving_assets/backfill"
POLL_SECONDS = 2.0
MOST_GIVEN_WAY_SECONDS = 1_800
"""A run that takes longer hangs, and a backfill does not wait for that."""

State = Literal["running", "paused", "interrupted", "ended"]


@dataclass(frozen=True)
class Backfill:
    """One backfill, as it was ordered.

    Attributes:
        process: what carries it out, `<host>:<pid>`; empty when it is paused or has ended.
        ended: when everything had been tried, ISO 8601; empty before.
    """

    id: str
    use_case: str
    first: str
    last: str
    only_tables: bool
    ordered_at: str
    process: str = ""
    ended: str = ""

    @property
    def days(self) -> DayRange:
        """The days that it covers."""
        return DayRange(date.fromisoformat(self.first), date.fromisoformat(self.last))

    @property
    def state(self) -> State:
        """What it is doing; `interrupted`: its process is gone, and `resume` goes on."""
        if self.ended:
            return "ended"
        if not self.process:
            return "paused"
        return "interrupted" if is_dead(self.process) else "running"


@dataclass
class Progress:
    """What the runs of a backfill have done: days by phase, those that failed with the newest run, and seconds."""

    tables: set[date] = field(default_factory=set)
    scored: set[date] = field(default_factory=set)
    failed: dict[date, str] = field(default_factory=dict)
    published: bool = False
    seconds: float = 0.0


def order(instance: dg.DagsterInstance, use_case: BoundUseCase, days: DayRange, *, only_tables: bool) -> Backfill:
    """Enter a new backfill; `carry_out` does it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    ordered = Backfill(secrets.token_hex(4), use_case.name, str(days.first), str(days.last), only_tables, now)
    return _enter(instance, ordered)


def backfill_of(instance: dg.DagsterInstance, backfill_id: str) -> Backfill:
    """The backfill of that name.

    Raises:
        InputError: when there is none.
    """
    found = instance.daemon_cursor_storage.get_cursor_values({_key(backfill_id)})
    if _key(backfill_id) not in found:
        raise InputError(f"There is no backfill {backfill_id!r}.", hint="serving-assets backfills lists them.")
    return Backfill(**json.loads(found[_key(backfill_id)]))


def all_backfills(instance: dg.DagsterInstance) -> list[Backfill]:
    """Every backfill that has begun, newest first."""
    ids = {value for _, values in instance.get_run_tags([BACKFILL_TAG]) for value in values}
    found = instance.daemon_cursor_storage.get_cursor_values({_key(value) for value in ids}) if ids else {}
    return sorted((Backfill(**json.loads(text)) for text in found.values()), key=lambda b: b.ordered_at, reverse=True)


def running_backfill(instance: dg.DagsterInstance, use_case: str) -> str | None:
    """The name of a backfill that works on the use case now."""
    return next((b.id for b in all_backfills(instance) if b.use_case == use_case and b.state == "running"), None)


def pause(instance: dg.DagsterInstance, backfill_id: str) -> Backfill:
    """Ask a backfill to stop when its present run has ended.

    Raises:
        InputError: when it is not running.
    """
    found = backfill_of(instance, backfill_id)
    if found.state != "running":
        raise InputError(f"Backfill {backfill_id} is {found.state}.", hint="Only a running backfill can be paused.")
    instance.daemon_cursor_storage.set_cursor_values({_wish(backfill_id): "pause"})
    return found


def progress_of(instance: dg.DagsterInstance, backfill_id: str) -> Progress:
    """How far it is, by the runs it has made."""
    progress = Progress()
    records = instance.get_run_records(dg.RunsFilter(tags={BACKFILL_TAG: backfill_id}), ascending=True)
    for record in records:
        run, days = record.dagster_run, days_of(record.dagster_run.tags)
        progress.seconds += (record.end_time or 0) - (record.start_time or 0) if record.end_time else 0
        covered, phase = list(days.days()) if days else [], run.tags.get(PHASE_TAG)
        if run.status == dg.DagsterRunStatus.SUCCESS:
            progress.published |= phase == Phase.PUBLICATION.value
            (progress.tables if phase == Phase.TABLES.value else progress.scored).update(covered)
            for day in covered:
                progress.failed.pop(day, None)
        elif run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
            progress.failed |= dict.fromkeys(covered, run.run_id)
    return progress


def carry_out(
    workspace: Workspace, ordered: Backfill, gives_way: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Phase, Outcome]]:
    """Do what is left of it, run by run; between two runs it may be paused, or gives way.

    Tables first, in chunks; then features, predictions and history day by day, as many at a time as the settings say;
    one publication after all of them. A day whose tables failed is not scored, and days that failed before are tried
    again. `gives_way` is told of waiting.

    Raises:
        InputError: when another process carries it out.
    """
    instance, use_case = workspace.instance, workspace.catalog.use_case(ordered.use_case)
    at_work = dg.RunsFilter(tags={BACKFILL_TAG: ordered.id}, statuses=NOT_FINISHED_STATUSES)
    if ordered.state == "running" and ordered.process != this_process() and instance.get_runs(at_work, limit=1):
        raise InputError(f"Backfill {ordered.id} is running in {ordered.process}.", hint="Wait, or pause it first.")
    instance.daemon_cursor_storage.set_cursor_values({_wish(ordered.id): ""})
    ordered = _enter(instance, replace(ordered, process=this_process(), ended=""))
    work = _work(workspace, use_case, ordered)
    for phase, outcome in work:
        yield phase, outcome
        if _wishes_pause(instance, ordered.id):
            work.close()  # waits for a day that is scored beside the one that has ended
            _enter(instance, replace(ordered, process=""))
            return
        _give_way(instance, use_case.name, gives_way)
    _enter(instance, replace(ordered, process="", ended=datetime.now(UTC).isoformat(timespec="seconds")))


def _work(
    workspace: Workspace, use_case: BoundUseCase, ordered: Backfill
) -> Generator[tuple[Phase, Outcome], None, None]:
    defs, instance, tags = workspace.defs, workspace.instance, {BACKFILL_TAG: ordered.id}
    done, bad = progress_of(instance, ordered.id), set[date]()
    for days in ranges(day for day in ordered.days.days() if day not in done.tables):
        for outcome in backfill_steps.backfill_tables(defs, instance, workspace.catalog, use_case, days, tags):
            bad |= set() if outcome.success or not outcome.days else set(outcome.days.days())
            yield Phase.TABLES, outcome
    if ordered.only_tables:
        return
    added = bool(done.scored) and not done.published
    processes = workspace.platform.settings.backfill_processes
    due = [day for day in ordered.days.days() if day not in done.scored | bad]
    for outcome in backfill_steps.backfill_predictions(defs, instance, use_case, due, tags, processes=processes):
        added |= any(made.asset.endswith("/historic") for made in outcome.made)
        yield Phase.PREDICTIONS, outcome
    if added:
        yield Phase.PUBLICATION, backfill_steps.publish(defs, instance, use_case, tags)


def _give_way(instance: dg.DagsterInstance, use_case: str, told: Callable[[str], None]) -> None:
    """Wait while a run of single days of the use case is at work: what readers wait for comes first."""
    at_work = dg.RunsFilter(
        tags={DAYS_TAG: use_case}, statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    )
    until = time.monotonic() + MOST_GIVEN_WAY_SECONDS
    while (runs := instance.get_runs(at_work, limit=1)) and time.monotonic() < until:
        told(runs[0].run_id)
        time.sleep(POLL_SECONDS)


def _wishes_pause(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    return instance.daemon_cursor_storage.get_cursor_values({_wish(backfill_id)}).get(_wish(backfill_id)) == "pause"


def _enter(instance: dg.DagsterInstance, record: Backfill) -> Backfill:
    instance.daemon_cursor_storage.set_cursor_values({_key(record.id): json.dumps(asdict(record))})
    return record


def _key(backfill_id: str) -> str:
    return f"serving_assets/backfill/{backfill_id}"


def _wish(backfill_id: str) -> str:
    return f"{_key(backfill_id)}/wish"
