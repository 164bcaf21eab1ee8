"""Schedules and sensors that are on, with how their newest ticks ended.

Here: plain values. Not here: which failure is an alert (pipeline/observing/findings_from_state.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorTick, TickStatus


@dataclass(frozen=True)
class Tick:
    """One tick that has ended; `error` is empty unless it failed with a message."""

    at: datetime
    failed: bool
    error: str = ""


@dataclass(frozen=True)
class Automation:
    """A schedule or a sensor, and its newest ticks that have ended, newest first."""

    name: str
    is_schedule: bool
    ticks: tuple[Tick, ...]


def automations(instance: dg.DagsterInstance, ticks: int) -> list[Automation]:
    """Return the schedules and sensors that are on, each with at most `ticks` ticks that have ended."""
    on = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}
    states = {state.selector_id: state for state in instance.all_instigator_state(instigator_statuses=on)}
    # One more, because the newest may not have ended; asked for by status, Dagster 1.13 fails in its own query.
    found = instance.get_batch_ticks(list(states), limit=ticks + 1) if states else {}
    return [
        Automation(
            states[selector].instigator_name,
            states[selector].instigator_type.value == "SCHEDULE",
            _ended(newest),
        )
        for selector, newest in found.items()
    ]


def _ended(ticks: Iterable[InstigatorTick]) -> tuple[Tick, ...]:
    ended = (tick for tick in ticks if tick.status != TickStatus.STARTED)
    return tuple(_plain(tick) for tick in sorted(ended, key=lambda tick: tick.timestamp, reverse=True))


def _plain(tick: InstigatorTick) -> Tick:
    error = tick.error
    message = (error.cause or error).message.strip() if error else ""
    return Tick(datetime.fromtimestamp(tick.timestamp, UTC), tick.status == TickStatus.FAILURE, message)
