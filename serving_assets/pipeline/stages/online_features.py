"""Online features: the newest feature row of each entity, published for scoring on the fly.

Here: the asset, and which day is published. Not here: which columns (the use case declares them), or publishing
(online.py, pipeline/publishing/publisher.py).
"""

from __future__ import annotations

from functools import partial

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.errors import InputError, listed
from serving_assets.lake import DayRange
from serving_assets.pipeline.checks.profile import champion_bundle
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
    """Return the asset `<use_case>/online_features`, of a use case that declares any."""
    collection = features_of(use_case)
    if collection is None:
        return []
    return [
        published_asset(
            use_case,
            platform,
            collection,
            partial(_newest, use_case),
            upstream="features",
            description=f"Features of each {collection.key} that requests omit: {', '.join(collection.values)}.",
        )
    ]


def _newest(use_case: BoundUseCase, step: Step, collection: PublishedCollection) -> PublishedDocuments:
    """The newest day, whatever order days are made in; none that failed its checks is published."""
    _refuse_lost_features(use_case, step.platform)
    snapshot = newest_documents(collection, step.platform.engine, step.platform.lake)
    days = snapshot.scan.where[collection.day]
    assert isinstance(days, DayRange)
    step.refuse_failed("features", CHECKS, days)
    return snapshot


def _refuse_lost_features(use_case: BoundUseCase, platform: Platform) -> None:
    """Keep what is published while the champion needs a feature that is gone: the API would score without it."""
    champion = champion_bundle(platform, use_case.name)
    lost = [name for name in champion.signature.names if name not in use_case.feature_names] if champion else []
    if champion and lost:
        raise InputError(
            f"{use_case.name}: version {champion.version} needs {listed(lost)}, which features.sql does not return.",
            hint=f"Train a model for the new columns: serving-assets train {use_case.name}.",
        )
