"""Findings that are no event of a run: late tables, runs that stand still, failing schedules, days given up.

Here: how things stand at this moment. Not here: what happened in runs (findings_from_runs.py).

A failure keeps its instant as long as it lasts, so that an evaluation that finds nothing new changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from serving_assets.alerts.records import ALL, Days, Finding, Key, Severity
from serving_assets.pipeline.automation.gaps import given_up
from serving_assets.pipeline.broken_declarations import (
    DECLARATION_BROKEN,
    broken_since,
    declaration_key,
    record_failures,
)
from serving_assets.pipeline.dagster_instance.automations import Automation, automations
from serving_assets.pipeline.dagster_instance.dagster_view import DagsterView
from serving_assets.pipeline.dagster_instance.freshness_state import (
    FAIL,
    PASS,
    WARN,
    RecordedFreshness,
    recorded_freshness,
)
from serving_assets.pipeline.observing.finding_builder import (
    FRESHNESS,
    GIVEN_UP,
    RUN_STUCK,
    TICK_FAILED,
    FindingBuilder,
    platform_finding,
)
from serving_assets.pipeline.platform import Platform

SILENT_FOR = timedelta(minutes=30)
"""The longest step, a daily run for a million households, takes minutes; every step records when it begins and ends."""
QUEUED_FOR = timedelta(minutes=15)
"""While nothing runs, a queue that stands still so long is not being emptied."""
TICKS_IN_A_ROW = 2
"""So often a sensor must fail: it tries again within minutes. A schedule that fails once has missed its day."""
STATES = {PASS: Severity.OK, WARN: Severity.WARN, FAIL: Severity.ERROR}
READERS_FIRST = ("online", "latest")


def states(
    instance: dg.DagsterInstance, builder: FindingBuilder, open_keys: Iterable[Key], now: datetime
) -> list[Finding]:
    """How everything stands that alerts look at, and is no event."""
    return [
        *freshness(instance, builder, now),
        *_standing_still(instance, builder, open_keys, now),
        *_ticks(instance),
        *broken_declarations(instance, builder, open_keys, now),
    ]


def freshness(instance: dg.DagsterInstance, builder: FindingBuilder, now: datetime) -> Iterator[Finding]:
    """Assets that are not as fresh as declared; of one use case only the one that is nearest to its readers.

    The state is the daemon's, which evaluates the policies. An asset that was never made has none.
    """
    due = [key for key in builder.graph.get_all_asset_keys() if builder.graph.get(key).freshness_policy]
    by_scope: dict[str, list[RecordedFreshness]] = defaultdict(list)
    for record in recorded_freshness(instance, due):
        if record.state in STATES:
            table = builder.is_table(record.asset)
            by_scope[record.asset.to_user_string() if table else builder.scope(record.asset)].append(record)
    for records in by_scope.values():
        stale = sorted((r for r in records if STATES[r.state] is not Severity.OK), key=_nearest_to_readers)
        for record in records:
            if stale and record is stale[0]:
                others = ", ".join(other.asset.to_user_string() for other in stale[1:])
                yield builder.asset_finding(
                    record.asset,
                    FRESHNESS,
                    STATES[record.state],
                    record.since,
                    message="It was not made in time." + (f" So were not: {others}." if others else ""),
                )
            else:
                yield builder.asset_finding(record.asset, FRESHNESS, Severity.OK, now)


def _nearest_to_readers(record: RecordedFreshness) -> tuple[int, int]:
    stage = record.asset.path[-1]
    rank = READERS_FIRST.index(stage) if stage in READERS_FIRST else len(READERS_FIRST)
    return -STATES[record.state], rank


def _standing_still(
    instance: dg.DagsterInstance, builder: FindingBuilder, open_keys: Iterable[Key], now: datetime
) -> Iterator[Finding]:
    """Runs without events, and a queue from which nothing runs."""
    running = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
    records = instance.get_run_records(dg.RunsFilter(statuses=list(running)))
    stuck: set[Key] = set()
    for record in records:
        run = record.dagster_run
        newest = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        moved = datetime.fromtimestamp(newest[0].timestamp, UTC) if newest else record.create_timestamp
        if now - moved >= SILENT_FOR:
            message = f"Run {run.run_id[:8]} has recorded nothing since {moved:%Y-%m-%d %H:%M} UTC."
            found = builder.job_finding(
                run.job_name, RUN_STUCK, Severity.ERROR, moved, message=message, page=f"runs/{run.run_id}"
            )
            stuck.add(found.key)
            yield found
    queue = platform_finding("queue", RUN_STUCK, Severity.OK, now, page="runs?view=queued")
    queued = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    oldest = min((record.create_timestamp for record in queued), default=now)
    if not records and now - oldest >= QUEUED_FOR:
        message = f"{len(queued)} runs wait since {oldest:%Y-%m-%d %H:%M} UTC, and none is running."
        stuck.add(queue.key)
        yield platform_finding("queue", RUN_STUCK, Severity.ERROR, oldest, message=message, page=queue.page)
    yield from _over(open_keys, RUN_STUCK, stuck, now)


def _ticks(instance: dg.DagsterInstance) -> Iterator[Finding]:
    """Schedules and sensors that are on, by their newest ticks."""
    for automation in automations(instance, TICKS_IN_A_ROW):
        if automation.ticks:
            yield _tick(automation)


def _tick(automation: Automation) -> Finding:
    newest_first = automation.ticks
    needed = 1 if automation.is_schedule else TICKS_IN_A_ROW
    failed = [tick for tick in newest_first[:needed] if tick.failed]
    what = f"{'schedules' if automation.is_schedule else 'sensors'}/{automation.name}"
    at = (failed or newest_first)[-1 if failed else 0].at
    if len(failed) < needed:
        return platform_finding(what, TICK_FAILED, Severity.OK, at)
    message = failed[0].error or "Its tick failed."
    return platform_finding(what, TICK_FAILED, Severity.ERROR, at, message=message[:500], page="automation")


def days_given_up(
    instance: dg.DagsterInstance, platform: Platform, builder: FindingBuilder, open_keys: Iterable[Key], now: datetime
) -> Iterator[Finding]:
    """Days that catching up has given up, by use case. Costs a look into the landing zone."""
    failing: set[Key] = set()
    for use_case in platform.catalog.use_cases.values():
        if not (lacks := given_up(DagsterView(instance), platform, use_case, now)):
            continue
        asset = dg.AssetKey([use_case.name, "online"])
        days = sorted(str(gap.day) for gap in lacks if gap.day)
        found = builder.asset_finding(
            asset,
            GIVEN_UP,
            Severity.ERROR,
            now,
            Days(days[0], days[-1]) if days else ALL,
            message=" ".join(gap.why for gap in lacks),
        )
        failing.add(found.key)
        if found.key not in set(open_keys):
            yield found
    yield from _over(open_keys, GIVEN_UP, failing, now)


def broken_declarations(
    instance: dg.DagsterInstance, builder: FindingBuilder, open_keys: Iterable[Key], now: datetime
) -> Iterator[Finding]:
    """Folders of the catalog that could not be loaded; their failure is recorded for the UI as well."""
    record_failures(instance, builder.catalog)
    failing: set[Key] = set()
    for folder, error in builder.catalog.broken.items():
        since = broken_since(builder.catalog, folder)
        found = builder.asset_finding(
            declaration_key(folder), DECLARATION_BROKEN, Severity.ERROR, since, message=str(error)
        )
        failing.add(found.key)
        yield found
    yield from _over(open_keys, DECLARATION_BROKEN, failing, now)


def _over(open_keys: Iterable[Key], kind: str, failing: set[Key], now: datetime) -> Iterator[Finding]:
    """What was failing in this way, and is no longer."""
    for key in open_keys:
        if key.kind == kind and key not in failing:
            yield Finding(key, Severity.OK, now)
