"""Freshness: the present state of an asset by its policy, what the daemon has recorded, and by when an asset is due.

Here: evaluating a policy as the daemon does. Not here: the policies (pipeline/automation/freshness_policies.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetNode
from dagster._core.definitions.freshness import CronFreshnessPolicy, FreshnessState
from dagster._core.definitions.freshness_evaluator import FRESHNESS_EVALUATORS_BY_POLICY_TYPE
from dagster._core.loader import LoadingContextForTest

PASS, WARN, FAIL = FreshnessState.PASS.value, FreshnessState.WARN.value, FreshnessState.FAIL.value


@dataclass(frozen=True)
class RecordedFreshness:
    """What the daemon has recorded of an asset: the state, and since when."""

    asset: dg.AssetKey
    state: str
    since: datetime


def freshness_of(instance: dg.DagsterInstance, node: BaseAssetNode) -> str:
    """Return the asset's present state by its policy, as the daemon computes it.

    PASS, WARN, FAIL. UNKNOWN: never made. NOT_APPLICABLE: without a policy. It needs no daemon.
    """
    policy = node.freshness_policy_or_from_metadata
    if policy is None:
        return str(FreshnessState.NOT_APPLICABLE.value)
    evaluator = FRESHNESS_EVALUATORS_BY_POLICY_TYPE[type(policy)]()
    return str(asyncio.run(evaluator.evaluate_freshness(LoadingContextForTest(instance), node)).value)


def deadline_of(node: BaseAssetNode) -> str | None:
    """Return by when the asset is due each day, as `HH:MM zone`; None where no time of day is declared."""
    policy = node.freshness_policy_or_from_metadata
    if not isinstance(policy, CronFreshnessPolicy):
        return None
    minute, hour = policy.deadline_cron.split()[:2]
    return f"{int(hour):02}:{int(minute):02} {policy.timezone}"


def recorded_freshness(instance: dg.DagsterInstance, assets: Collection[dg.AssetKey]) -> list[RecordedFreshness]:
    """Return what the daemon has recorded; assets that were never evaluated are left out."""
    records = instance.get_freshness_state_records(list(assets))
    return [
        RecordedFreshness(key, str(found.freshness_state.value), found.updated_at) for key, found in records.items()
    ]
