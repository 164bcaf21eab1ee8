"""Which tables follow from what has arrived, as run requests: the fewest runs that make each partition once.

Here: pure planning over what is materialized and what runs are making. Not here: what has arrived (arrivals_sensor.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.lake import DayRange
from serving_assets.lake.day_ranges import CHUNK_DAYS
from serving_assets.pipeline.automation.priorities import Priority
from serving_assets.pipeline.automation.runs_in_flight import RunsInFlight
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.dagster_instance.tags import PRIORITY_TAG, range_tags

MOST_REQUESTS = 8
"""Runs that one tick requests; creating one costs the daemon up to half a second."""


@dataclass(frozen=True)
class Change:
    """A folder of the landing zone that holds something new; `entry` is how the sensor remembers it."""

    table: Table
    day: date | None
    folder: str
    entry: str


@dataclass
class Plan:
    """What to request, the changes that are settled by it, and what the others wait for."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    taken: list[Change] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    """Which partitions there are, of daily tables, and which snapshots were ever made."""

    days: dict[str, set[str]]
    made: set[str]

    def has(self, table: Table, day: date | None) -> bool:
        return str(day) in self.days[table.name] if table.daily else table.name in self.made


def plan_requests(
    view: InstanceView, tables: Sequence[Table], changes: Sequence[Change], in_flight: RunsInFlight, job: str
) -> Plan:
    """Return the runs that `changes` ask for, newest day first, days in a row that need the same tables in one run.

    A day that a run is making already waits for its end, and so do days that read a snapshot which was never made.
    A mapped table is made as soon as all that it reads is there.
    """
    plan, known = Plan(), _known(view, tables) if changes else _Known({}, set())
    if snapshots := [change for change in changes if change.day is None]:
        keys = _keys(_following(tables, {c.table.name for c in snapshots}, None, known))
        if in_flight.holds(keys, None):
            plan.waiting.append("a run is making snapshots")
        else:
            plan.requests.append(_request(job, keys, None, snapshots))
            plan.taken += snapshots
    by_day: dict[date, list[Change]] = {}
    for change in changes:
        if change.day is not None:
            by_day.setdefault(change.day, []).append(change)
    wanted: dict[date, tuple[dg.AssetKey, ...]] = {}
    for day in sorted(by_day, reverse=True):
        names = {change.table.name for change in by_day[day]}
        unmade = _unmade_snapshots(tables, names, known)
        keys = _keys(_following(tables, names, day, known))
        if unmade:
            plan.waiting.append(f"{day} waits for {', '.join(unmade)}")
        elif in_flight.holds(keys, day):
            plan.waiting.append(f"{day} is being made")
        else:
            wanted[day] = keys
    for days in _alike(wanted):
        if len(plan.requests) == MOST_REQUESTS:
            plan.waiting.append(f"{days.last} and before wait for the next tick")
            break
        settled = [change for day in days.days() for change in by_day[day]]
        plan.requests.append(_request(job, wanted[days.last], days, settled))
        plan.taken += settled
    return plan


def _known(view: InstanceView, tables: Sequence[Table]) -> _Known:
    keys = {table.name: dg.AssetKey([table.layer, table.name]) for table in tables}
    days = {t.name: set(view.materialized_partitions(keys[t.name])) for t in tables if t.daily}
    made = view.newest_of(keys[table.name] for table in tables if not table.daily)
    return _Known(days, {table.name for table in tables if keys[table.name] in made})


def _following(tables: Sequence[Table], changed: set[str], day: date | None, known: _Known) -> list[Table]:
    """The changed tables, and those made of them that can be made: everything else that they read is there."""
    by_name = {table.name: table for table in tables}
    chosen: list[Table] = []
    for table in tables:
        reads = [by_name[name] for name in table.inputs]
        follows = table.daily == (day is not None) and any(read in chosen for read in reads)
        if table.name in changed or (follows and all(read in chosen or known.has(read, day) for read in reads)):
            chosen.append(table)
    return chosen


def _unmade_snapshots(tables: Sequence[Table], changed: set[str], known: _Known) -> list[str]:
    """Snapshots that tables made of the changed ones read, and that were never made."""
    by_name = {table.name: table for table in tables}
    reached, unmade = set(changed), set[str]()
    for table in tables:
        if table.daily and reached & set(table.inputs):
            reached.add(table.name)
            unmade |= {n for n in table.inputs if not by_name[n].daily and n not in known.made}
    return sorted(unmade)


def _keys(tables: Iterable[Table]) -> tuple[dg.AssetKey, ...]:
    return tuple(dg.AssetKey([table.layer, table.name]) for table in tables)


def _alike(wanted: dict[date, tuple[dg.AssetKey, ...]]) -> list[DayRange]:
    """Days in a row that need the same tables, newest first, in pieces that one run takes."""
    found: list[DayRange] = []
    for day, keys in wanted.items():
        newer = found[-1] if found else None
        if newer and newer.first - timedelta(days=1) == day and wanted[newer.first] == keys and len(newer) < CHUNK_DAYS:
            found[-1] = DayRange(day, newer.last)
        else:
            found.append(DayRange(day, day))
    return found


def _request(
    job: str, keys: tuple[dg.AssetKey, ...], days: DayRange | None, settled: Sequence[Change]
) -> dg.RunRequest:
    """Return one run; its key is made of the deliveries, so a tick repeated after a crash launches nothing twice."""
    deliveries = sorted(f"{change.table.name}/{change.folder}/{change.entry}" for change in settled)
    run_key = hashlib.sha256("\n".join((*map(str, keys), *deliveries)).encode()).hexdigest()[:24]
    tags, partition = {PRIORITY_TAG: str(Priority.TABLES.value)}, None
    if days is not None and len(days) > 1:
        tags = {**range_tags(days), PRIORITY_TAG: str(Priority.BACKFILL.value)}
    elif days is not None:
        partition = str(days.first)
    return dg.RunRequest(
        run_key=f"{days or 'snapshots'}:{run_key}",
        job_name=job,
        asset_selection=keys,
        partition_key=partition,
        tags=tags,
    )
