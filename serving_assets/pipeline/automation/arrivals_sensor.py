"""What has arrived in the landing zone: a sensor for each domain that requests the partitions concerned, once.

Here: the sensor, and what it remembers. Not here: listing files (landing/zone.py), which tables follow
(arrival_plan.py), or scoring again what late data changed (catch_up_sensor.py).

All use cases of a domain share its sensor, so a raw partition is requested once for all of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import dagster as dg

from serving_assets.catalog.discovery import Table
from serving_assets.catalog.spec import Source
from serving_assets.landing.zone import SNAPSHOT, UNREAD, LandingZone
from serving_assets.pipeline.asset_keys import tables_job_name
from serving_assets.pipeline.automation.arrival_plan import Change, Plan, plan_requests
from serving_assets.pipeline.automation.runs_in_flight import RunsInFlight
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.instance_view import InstanceView
from serving_assets.pipeline.platform import Platform

EVERY_SECONDS = 60
TICK_SECONDS = 20.0
"""After so long a tick begins with no further folder: the daemon ends one that takes 60 seconds."""
READ_DAYS = 35
"""Of the newest folders of a source, the content is known too, so that a re-delivery of the same bytes is no change."""


@dataclass
class Memory:
    """The sensor's cursor: of each folder, what was seen last (`signature:content`), and the source to begin with."""

    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    first: str = ""

    @classmethod
    def read(cls, cursor: str | None) -> Memory:
        """Return the memory as the last tick left it."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def write(self) -> str:
        """Return it as the cursor keeps it: some fifty bytes a folder."""
        return json.dumps({"seen": self.seen, "first": self.first}, separators=(",", ":"))


def arrivals_sensor(domain: str, job: dg.UnresolvedAssetJobDefinition, platform: Platform) -> dg.SensorDefinition:
    """Return the sensor `<domain>_arrivals`."""

    @dg.sensor(
        name=f"{domain}_arrivals",
        job=job,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the tables of every day whose files are new, changed or late, once for each delivery.",
    )
    def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = Memory.read(context.cursor)
        plan = evaluate(DagsterView(context.instance), platform, domain, memory)
        why = None if plan.requests else dg.SkipReason("; ".join(plan.waiting) or "Nothing new has landed.")
        return dg.SensorResult(run_requests=plan.requests, skip_reason=why, cursor=memory.write())

    return arrivals


def evaluate(
    view: InstanceView, platform: Platform, domain: str, memory: Memory, seconds: float = TICK_SECONDS
) -> Plan:
    """Return what one tick requests; `memory` then knows what is requested, and what needs no request.

    What does not fit into the tick is not remembered, so the next one meets it again; it begins with the source at
    which this one stopped.
    """
    until = time.monotonic() + seconds
    tables = [table for table in platform.catalog.tables.values() if table.domain.name == domain]
    sources = _rotated([table for table in tables if table.layer == "raw"], memory.first)
    zone, memory.first = LandingZone.of(platform.settings), ""
    changes: list[Change] = []
    for position, table in enumerate(sources):
        if position and time.monotonic() >= until:
            memory.first = memory.first or table.name
            break
        for change in _changes(view, zone, table, memory.seen.setdefault(table.name, {}), _ended(platform, table)):
            changes.append(change)  # before looking at the clock: each tick gets on, however slow the store is
            if time.monotonic() >= until:
                memory.first = table.name
                break
        _learn(zone, table, memory.seen[table.name], until)
    plan = plan_requests(view, tables, changes, RunsInFlight.on(view, platform), tables_job_name(domain))
    for change in plan.taken:
        memory.seen[change.table.name][change.folder] = change.entry
    return plan


def _ended(platform: Platform, table: Table) -> tuple[str, str]:
    """The first and the newest day that may be requested: a day gets its partition when it has ended."""
    partitions = platform.partitions(table.domain.timezone)
    return str(platform.first_day(table.domain)), partitions.get_last_partition_key() or ""


def _rotated(tables: list[Table], first: str) -> list[Table]:
    start = next((index for index, table in enumerate(tables) if table.name == first), 0)
    return tables[start:] + tables[:start]


def _changes(
    view: InstanceView, zone: LandingZone, table: Table, seen: dict[str, str], ended: tuple[str, str]
) -> Iterator[Change]:
    """The folders of a source that are new or hold other bytes; `seen` learns of those that need no request.

    A folder that is met for the first time and was made into a table after its newest file was written is known: a
    command, or a run launched in the UI, was faster. So a lost cursor requests nothing again.
    """
    source = table.spec
    assert isinstance(source, Source)
    deliveries = zone.deliveries(source)
    for gone in seen.keys() - deliveries.keys():
        del seen[gone]
    made = _made_at(view, table, deliveries.keys() - seen.keys())
    for folder, delivery in deliveries.items():
        signature, _, content = seen.get(folder, "").partition(":")
        if signature == delivery.signature or (folder and not ended[0] <= folder <= ended[1]):
            continue
        if folder in made and made[folder] >= delivery.newest:
            seen[folder] = f"{delivery.signature}:"
            continue
        found = zone.content(source, delivery)
        if found == content != UNREAD:
            seen[folder] = f"{delivery.signature}:{content}"
            continue
        yield Change(table, _day(folder), folder, f"{delivery.signature}:{found}")


def _learn(zone: LandingZone, table: Table, seen: dict[str, str], until: float) -> None:
    """Read the newest folders that were known from the beginning, as far as the time of the tick goes."""
    source = table.spec
    assert isinstance(source, Source)
    unread = [folder for folder in sorted(seen, reverse=True)[:READ_DAYS] if seen[folder].endswith(":")]
    if not unread or time.monotonic() >= until:
        return
    deliveries = zone.deliveries(source)
    for folder in unread:
        if time.monotonic() >= until:
            return
        delivery = deliveries.get(folder)
        if delivery is not None and seen[folder] == f"{delivery.signature}:":
            seen[folder] += zone.content(source, delivery)


def _day(folder: str) -> date | None:
    return None if folder == SNAPSHOT else date.fromisoformat(folder)


def _made_at(view: InstanceView, table: Table, folders: set[str]) -> Mapping[str, datetime]:
    """When the raw table of each folder was made last; of those alone that it was."""
    key = dg.AssetKey([table.layer, table.name])
    if not folders:
        return {}
    if not table.daily:
        newest = view.newest_of([key]).get(key)
        return {SNAPSHOT: newest.at} if newest else {}
    return {folder: made.at for folder, made in view.newest_by_partition(key, folders).items()}
