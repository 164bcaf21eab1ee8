"""Online features: the newest feature row of each entity, published for scoring on the fly.

Here: the asset, and which day is published. Not here: which columns (the use case declares them), or publishing
(online.py, pipeline/publishing/publisher.py).
"""

from __future__ import annotations

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.lake import DayRange
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.published_documents import (
    PublishedCollection,
    PublishedDocuments,
    features_of,
    newest_documents,
)
from serving_assets.pipeline.stages.features import CHECKS
from serving_assets.pipeline.stages.online import published_asset
from serving_assets.pipeline.stages.step import Step


def online_features_asset(use_case: BoundUseCase, platform: Platform) -> list[dg.AssetsDefinition]:
    """The asset `<use_case>/online_features`, of a use case that declares any."""
    collection = features_of(use_case)
    if collection is None:
        return []
    return [
        published_asset(
            use_case,
            platform,
            collection,
            _newest,
            upstream="features",
            description=f"What scoring on the fly knows of each {collection.key}: {', '.join(collection.values)}.",
        )
    ]


def _newest(step: Step, collection: PublishedCollection) -> PublishedDocuments:
    """The newest day, whatever order days are made in; none that failed its checks is published."""
    snapshot = newest_documents(collection, step.platform.engine, step.platform.lake)
    days = snapshot.scan.where[collection.day]
    assert isinstance(days, DayRange)
    step.refuse_failed("features", CHECKS, days)
    return snapshot
