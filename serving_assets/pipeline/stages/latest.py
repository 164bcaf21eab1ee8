"""Latest: one row per entity, the newest prediction of the history, whatever order partitions ran in.

Here: the asset and its merge. Not here: publishing it (online.py).

The merge rewrites the table instead of using Delta's MERGE: a daily run changes nearly every row anyway, the rewrite
streams, and MERGE would insert duplicate new keys twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.errors import InputError
from serving_assets.lake import NO_TABLE, DayRange, LakeTable, Scan, Written
from serving_assets.pipeline.checks.contract import CONTRACT, check_contract
from serving_assets.pipeline.checks.lag import PARTITION_LAG, check_partition_lag
from serving_assets.pipeline.checks.latest import (
    AGREES_WITH_HISTORY,
    NEVER_REGRESSES,
    check_agrees_with_history,
    check_never_regresses,
)
from serving_assets.pipeline.checks.verdict import Verdict
from serving_assets.pipeline.dagster_instance.step_metadata import described, handed_on, measured, written_metadata
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.historic import historic_columns
from serving_assets.pipeline.stages.step import THE_ENGINE, Step, stage_asset

MERGED = "historic_version"
"""Commit metadata of `latest`: the version of `historic` that it includes."""
CHECKS = (CONTRACT, NEVER_REGRESSES, AGREES_WITH_HISTORY, PARTITION_LAG)


@dataclass(frozen=True)
class Merge:
    """What one merge reads: the table as it is, the history it has not seen, and up to which day predictions expired.

    `base` is the version of `latest` that the merge replaces; `before` is None where nothing of it is reused.
    """

    base: int
    before: Scan | None
    gained: Scan
    historic_version: int
    expired: date


def plan_merge(historic: LakeTable, latest: LakeTable, columns: Sequence[str], expire_after_days: int) -> Merge | None:
    """Return what must be merged so that `latest` reflects all of `historic`; None when it already does.

    Only files that the history gained are read. Everything that has not expired is read again when files of the history
    disappeared (a retried run, a compaction), when another writer wrote to `latest`, or when it lacks a column.

    Raises:
        InputError: when there is no history.
    """
    days = historic.partitions("scored_for")
    if not days:
        raise InputError(
            f"{historic.name} holds no prediction.", hint="Materialize predictions and historic for a day first."
        )
    everything = historic.scan()
    expired = max(days) - timedelta(days=expire_after_days)
    unexpired = everything.narrowed({"scored_for": DayRange(expired + timedelta(days=1), max(days))})
    base = latest.version()
    if base is None:
        return Merge(NO_TABLE, None, unexpired, everything.version, expired)
    before, merged = latest.scan(version=base), latest.commit_metadata(base).get(MERGED)
    gained = historic.added_between(int(merged), everything.version) if merged else None
    if gained is None or not set(columns) <= set(before.schema().names):
        return Merge(base, None, unexpired, everything.version, expired)
    if not gained.files(check=False):
        return None
    return Merge(base, before, gained, everything.version, expired)


def merge_latest(platform: Platform, latest: LakeTable, merge: Merge, key: str, columns: Sequence[str]) -> Written:
    """Write the newest row per entity of what was there and what was gained, unless another writer was first.

    Each entity's newest day comes first, from an aggregate that streams: ranking 85 million rows of history at once
    took, with the check, 98 CPU-seconds; ranking those of the newest days takes 13.
    """
    inputs = {"gained": Input(merge.gained)}
    listed = ", ".join(f'"{column}"' for column in columns)
    union = f"SELECT {listed} FROM gained"
    if merge.before is not None:
        inputs["before"] = Input(merge.before)
        union += f" UNION ALL SELECT {listed} FROM before"
    sql = f"""
        SELECT {listed} FROM (
            SELECT c.*, row_number() OVER (PARTITION BY c."{key}" ORDER BY c.scored_at DESC, c.run_id DESC) AS newest
            FROM ({union}) AS c
            JOIN (SELECT "{key}", max(scored_for) AS day FROM ({union}) AS dated GROUP BY "{key}") AS d
            ON c."{key}" = d."{key}" AND c.scored_for = d.day
        ) AS ranked WHERE newest = 1 AND scored_for > DATE '{merge.expired}'
    """
    target = Target(latest, metadata={MERGED: str(merge.historic_version)}, expected_version=merge.base)
    return platform.engine.transform([Query(sql, inputs)], target)


def latest_asset(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    """Return the asset `<use_case>/latest`."""
    spec = use_case.spec
    days = spec.predictions.expire_after_days
    columns, historic = historic_columns(use_case), dg.AssetKey([use_case.name, "historic"])
    return stage_asset(
        dg.AssetKey([use_case.name, "latest"]),
        partial(_merge, use_case),
        group=use_case.name,
        description=f"One row per {spec.entity.key}: the newest prediction, removed after {days} days.",
        owners=spec.owners,
        kinds={THE_ENGINE, "deltalake"},
        deps=[historic],
        checks=CHECKS,
        metadata=described(
            use_case.lake_name("latest"),
            use_case.folder / "use_case.py",
            columns=columns,
            key=(spec.entity.key,),
            lineage=dg.TableColumnLineage(handed_on(columns, historic)),
        ),
        pool=f"{use_case.name}_latest",
        compute=spec.compute.get("latest"),
    )


def _merge(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p, spec = step.platform, use_case.spec
    key, scores = spec.entity.key, tuple(spec.predictions.columns)
    columns = tuple(historic_columns(use_case))
    historic, latest = (p.lake.table(use_case.lake_name(name)) for name in ("historic", "latest"))
    merge = plan_merge(historic, latest, columns, spec.predictions.expire_after_days)
    with measured() as cost:
        written = merge_latest(p, latest, merge, key, columns) if merge else None
    after = Input(latest.scan(version=written.version if written else None))
    history = merged_history(historic, latest, after.scan.version, merge.gained if merge else None)
    facts: dict[str, Any] = {"rows": after.scan.rows(), "unchanged": written is None, **cost.metadata()}
    if written:
        facts |= written_metadata(written, cost, partitioned=False)
    previous = Input(latest.scan(version=merge.base)) if merge and merge.base != NO_TABLE else None
    expired = merge.expired if merge else date.min
    verdicts = [
        check_contract(p.engine, after, (key,), {}),
        check_never_regresses(p.engine, previous, after, key, expired),
        check_agrees_with_history(p.engine, Input(history), after, key, scores, expired),
        _check_lag(use_case, p, after),
    ]
    return step.result(facts, verdicts)


def _check_lag(use_case: BoundUseCase, platform: Platform, after: Input) -> Verdict:
    sql = "SELECT max(scored_for) AS day, max(scored_at) AS at FROM latest"
    newest = platform.engine.collect(Query(sql, {"latest": after})).to_pylist()[0]
    timezone, thresholds = use_case.domain.timezone, use_case.spec.checks
    return check_partition_lag(newest["day"], timezone, datetime.now(UTC), thresholds, newest_row=newest["at"])


def merged_history(historic: LakeTable, latest: LakeTable, version: int, gained: Scan | None) -> Scan:
    """Return the merged days of the history, or its newest one, as they were when this version of `latest` was made.

    A run beside this one may have added to the history since: that is no disagreement.
    """
    merged = latest.commit_metadata(version).get(MERGED)
    at = int(merged) if merged else None
    days = _days(gained) if gained else max(historic.partitions("scored_for", version=at))
    return historic.scan({"scored_for": days}, version=at)


def _days(scan: Scan) -> DayRange:
    days = [day for file in scan.files(check=False) if isinstance(day := file.partition["scored_for"], date)]
    return DayRange(min(days), max(days))
