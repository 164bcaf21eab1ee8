"""The assets of a use case by stage, the tables it stands on, and the names of its jobs.

Here: keys and names, from the catalog alone. Not here: the assets (pipeline/stages/), or what is materialized
(pipeline/automation/missing_tables.py).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase, Catalog

TRAINING_STAGES = ("training_set", "model", "champion")
DAILY_STAGES = ("features", "predictions", "historic", "latest", "online")
ONLINE_FEATURES = "online_features"


def upstream_tables(catalog: Catalog, use_case: BoundUseCase) -> list[dg.AssetKey]:
    """Return the asset keys of the raw and mapped tables that a use case reads, in the order of their making."""
    wanted = {*use_case.spec.features.inputs, *use_case.spec.labels.inputs}
    for table in reversed(list(catalog.tables.values())):
        if table.name in wanted:
            wanted |= set(table.inputs)
    return [dg.AssetKey([table.layer, table.name]) for table in catalog.tables.values() if table.name in wanted]


def stage_keys(use_case: BoundUseCase, stages: Iterable[str]) -> list[dg.AssetKey]:
    """Return the asset keys of those of some stages that the use case has; what is not served has no `online`."""
    published = use_case.spec.serve.published
    return [dg.AssetKey([use_case.name, stage]) for stage in stages if published or stage != "online"]


def daily_keys(use_case: BoundUseCase) -> list[dg.AssetKey]:
    """Return the asset keys of all that is made every day."""
    return [*stage_keys(use_case, DAILY_STAGES), *online_features_keys(use_case)]


def online_features_keys(use_case: BoundUseCase) -> list[dg.AssetKey]:
    """Return the asset key of the online features; empty where none are declared."""
    return stage_keys(use_case, [ONLINE_FEATURES] if use_case.spec.online_features else [])


def daily_job_name(use_case: BoundUseCase) -> str:
    """Return the name of the job that makes one day of a use case."""
    return f"{use_case.name}_daily"


def tables_job_name(domain: str) -> str:
    """Return the name of the job that makes the raw and mapped tables of a domain."""
    return f"{domain}_tables"
