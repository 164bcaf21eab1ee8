"""Freshness: by when raw, latest and online must have been made, applied to all assets in one place.

Here: the policies, derived from the declared deadlines. Not here: their present state
(pipeline/dagster_instance/freshness_state.py), or how many days a table lags behind (checks/lag.py): materializing any
old partition satisfies a policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase, Catalog, Table
from serving_assets.catalog.spec import Source
from serving_assets.catalog.timing import MINUTES_OF_A_DAY, minutes_from
from serving_assets.pipeline.asset_keys import online_features_keys, stage_keys, upstream_tables

CLOCK_CHANGE_MINUTES = 60
"""Dagster counts the window back in hours that pass: where clocks go back, an hour more passes than the face shows."""
WARN_AT = 0.8
"""Share of a snapshot's longest age at which a warning comes."""


def with_freshness(assets: Sequence[dg.AssetsDefinition], catalog: Catalog) -> Sequence[dg.AssetsDefinition]:
    """Return the same assets; those that are due by a declared time of day have its policy."""
    policies = freshness_policies(catalog)

    def due(spec: dg.AssetSpec) -> dg.AssetSpec:
        return dg.apply_freshness_policy(spec, policies[spec.key]) if spec.key in policies else spec

    return dg.map_asset_specs(due, assets)


def freshness_policies(catalog: Catalog) -> dict[dg.AssetKey, dg.FreshnessPolicy]:
    """Return the policy of every asset that is due.

    What readers get is due at the use case's deadline, made since its schedule began. A daily source is due at the
    earliest deadline of the use cases that read it, made since its day ended; a snapshot only as it declares.
    """
    policies: dict[dg.AssetKey, dg.FreshnessPolicy] = {}
    earliest: dict[dg.AssetKey, BoundUseCase] = {}
    for use_case in sorted(catalog.use_cases.values(), key=_deadline, reverse=True):
        begin, zone = use_case.spec.schedule.at, use_case.spec.schedule.timezone
        published = (*stage_keys(use_case, ("latest", "online")), *online_features_keys(use_case))
        policies |= dict.fromkeys(published, _daily(begin, use_case.spec.due_at, zone))
        earliest |= dict.fromkeys(upstream_tables(catalog, use_case), use_case)
    for table in catalog.tables.values():
        key = dg.AssetKey([table.layer, table.name])
        if (policy := _of_source(table, earliest.get(key))) is not None:
            policies[key] = policy
    return policies


def _of_source(table: Table, reader: BoundUseCase | None) -> dg.FreshnessPolicy | None:
    source = table.spec
    if not isinstance(source, Source):
        return None
    if table.daily and reader is not None:
        zone = reader.spec.schedule.timezone
        return _daily(_midnight(table.domain.timezone, zone), reader.spec.due_at, zone)
    if source.renewed_every_days:
        longest = timedelta(days=source.renewed_every_days)
        return dg.FreshnessPolicy.time_window(fail_window=longest, warn_window=longest * WARN_AT)
    return None


def _daily(begin: str, deadline: str, timezone: str) -> dg.FreshnessPolicy:
    """Made between `begin` and `deadline`, each day, local time; later is late until it is made."""
    minutes = min(minutes_from(begin, deadline) + CLOCK_CHANGE_MINUTES, MINUTES_OF_A_DAY)
    hour, minute = deadline.split(":")
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"{int(minute)} {int(hour)} * * *",
        lower_bound_delta=timedelta(minutes=minutes),
        timezone=timezone,
    )


def _midnight(of: str, on: str) -> str:
    """Return the time of day in the zone `on` at midnight in `of`, in standard time."""
    instant = datetime.combine(date(2017, 1, 2), time(), ZoneInfo(of))
    return instant.astimezone(ZoneInfo(on)).strftime("%H:%M")


def _deadline(use_case: BoundUseCase) -> time:
    """Return the deadline in UTC, in the zone's standard time, so that deadlines of different zones can be sorted."""
    at = datetime.combine(
        date(2017, 1, 2), time.fromisoformat(use_case.spec.due_at), ZoneInfo(use_case.spec.schedule.timezone)
    )
    return at.astimezone(UTC).time()
