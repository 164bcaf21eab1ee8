"""A backfill as a record: it has a name, a state and progress, and it can be paused and resumed.

Here: the record and the request to pause, kept in the instance, and the progress read off the tags of its runs, so a
killed process loses nothing but the run it was in. Not here: carrying it out (local_runner/backfill.py), or backfills
from the UI, which Dagster keeps itself.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from typing import Literal

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.errors import InputError
from serving_assets.lake import DayRange
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.processes import is_dead
from serving_assets.pipeline.dagster_instance.tags import BACKFILL_TAG, PHASE_TAG, days_of

State = Literal["running", "paused", "interrupted", "ended"]


class Phase(Enum):
    """The parts of a backfill, in their order."""

    TABLES = "tables"
    PREDICTIONS = "predictions"
    PUBLICATION = "publication"


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


def order(view: InstanceView, use_case: BoundUseCase, days: DayRange, *, only_tables: bool) -> Backfill:
    """Enter a new backfill; `carry_out` does it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    ordered = Backfill(secrets.token_hex(4), use_case.name, str(days.first), str(days.last), only_tables, now)
    return record(view, ordered)


def backfill_of(view: InstanceView, backfill_id: str) -> Backfill:
    """Return the backfill of that name.

    Raises:
        InputError: when there is none.
    """
    found = view.stored_values({_key(backfill_id)})
    if _key(backfill_id) not in found:
        raise InputError(f"There is no backfill {backfill_id!r}.", hint="serving-assets backfills lists them.")
    return Backfill(**json.loads(found[_key(backfill_id)]))


def all_backfills(view: InstanceView) -> list[Backfill]:
    """Return every backfill that has begun, newest first."""
    ids = view.run_tag_values(BACKFILL_TAG)
    found = view.stored_values({_key(value) for value in ids}) if ids else {}
    return sorted((Backfill(**json.loads(text)) for text in found.values()), key=lambda b: b.ordered_at, reverse=True)


def running_backfill(view: InstanceView, use_case: str) -> str | None:
    """Return the name of a backfill that works on the use case now."""
    return next((b.id for b in all_backfills(view) if b.use_case == use_case and b.state == "running"), None)


def pause(view: InstanceView, backfill_id: str) -> Backfill:
    """Ask a backfill to stop when its present run has ended.

    Raises:
        InputError: when it is not running.
    """
    found = backfill_of(view, backfill_id)
    if found.state != "running":
        raise InputError(f"Backfill {backfill_id} is {found.state}.", hint="Only a running backfill can be paused.")
    view.store_values({_wish(backfill_id): "pause"})
    return found


def pause_requested(view: InstanceView, backfill_id: str) -> bool:
    """Return whether the backfill is to stop when its present run has ended."""
    return view.stored_values({_wish(backfill_id)}).get(_wish(backfill_id)) == "pause"


def withdraw_pause(view: InstanceView, backfill_id: str) -> None:
    """Forget a request to pause: the backfill is resumed."""
    view.store_values({_wish(backfill_id): ""})


def progress_of(view: InstanceView, backfill_id: str) -> Progress:
    """Return how far it is, by the runs it has made."""
    progress = Progress()
    for run in reversed(view.runs({BACKFILL_TAG: backfill_id})):
        days = days_of(run.tags)
        progress.seconds += (run.ended - run.began).total_seconds() if run.began and run.ended else 0
        covered, phase = list(days.days()) if days else [], run.tags.get(PHASE_TAG)
        if run.status == dg.DagsterRunStatus.SUCCESS:
            progress.published |= phase == Phase.PUBLICATION.value
            (progress.tables if phase == Phase.TABLES.value else progress.scored).update(covered)
            for day in covered:
                progress.failed.pop(day, None)
        elif run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
            progress.failed |= dict.fromkeys(covered, run.run_id)
    return progress


def record(view: InstanceView, backfill: Backfill) -> Backfill:
    """Store the record; a later one of the same id replaces it."""
    view.store_values({_key(backfill.id): json.dumps(asdict(backfill))})
    return backfill


def _key(backfill_id: str) -> str:
    return f"serving_assets/backfill/{backfill_id}"


def _wish(backfill_id: str) -> str:
    return f"{_key(backfill_id)}/wish"
