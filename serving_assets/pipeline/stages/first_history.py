"""Days before a use case was first published: comparisons with other days warn there, and block nothing.

Here: which days these are, and the verdicts on them. Not here: the checks (pipeline/checks/). The first history of a
team is made in one go, from files of years; what a comparison refuses there has reached no reader, and would keep every
later day from being made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.lake import DayRange
from serving_assets.pipeline.asset_keys import upstream_tables
from serving_assets.pipeline.checks.verdict import Verdict
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog
from serving_assets.pipeline.publishing.published_documents import predictions_of

NOTE = "These days are older than the first publication: a warning, which blocks nothing."


def eased(
    verdicts: Sequence[Verdict],
    instance: dg.DagsterInstance,
    platform: Platform,
    asset: dg.AssetKey,
    days: DayRange | None,
) -> list[Verdict]:
    """Return the verdicts, with errors of comparisons as warnings where all of `days` precede the first publication."""
    strict = [v for v in verdicts if v.severity == "error" and v.check.compares]
    if not strict or days is None or not _all_before(instance, platform, asset, days.last):
        return list(verdicts)
    return [replace(v, severity="warn", message=f"{v.message} {NOTE}") if v in strict else v for v in verdicts]


def _all_before(instance: dg.DagsterInstance, platform: Platform, asset: dg.AssetKey, day: date) -> bool:
    """Whether every use case that `asset` belongs to, or that stands on it, was first published for a later day."""
    found = [
        use_case
        for use_case in platform.catalog.use_cases.values()
        if asset.path[0] == use_case.name or asset in upstream_tables(platform.catalog, use_case)
    ]
    return all(day < first_published(instance, platform, use_case) for use_case in found)


def first_published(instance: dg.DagsterInstance, platform: Platform, use_case: BoundUseCase) -> date:
    """Return the day of the first publication; `date.max` before it.

    Of a use case without an online store it is not known which day was handed on first: any, once `latest` was made.
    """
    if not use_case.spec.serve.published:
        made = instance.get_latest_materialization_event(dg.AssetKey([use_case.name, "latest"]))
        return date.min if made else date.max
    log = ActivationLog(platform, predictions_of(use_case)).entries()
    if not log:
        return date.max
    end = datetime.fromisoformat(log[0].generation.as_of).astimezone(ZoneInfo(use_case.domain.timezone))
    return (end - timedelta(microseconds=1)).date()
