"""Findings about the online store: it does not answer, or it has lost what was published according to the lake's log.

Here: one control record per collection, read over a connection of its own. Not here: its documents, which the checks of
the online assets compare (pipeline/checks/), or the repair (pipeline/automation/gaps.py, publishing/restore.py).

A connection that was open before the file was moved away, or overwritten, still answers from what it holds: so each
evaluation opens the store anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import dagster as dg

from serving_assets.alerts.records import Finding, Key, Severity
from serving_assets.errors import ConflictError, ServingAssetsError
from serving_assets.pipeline.observing.finding_builder import PLATFORM, FindingBuilder, platform_finding
from serving_assets.pipeline.observing.runbooks import STORE_LOST, STORE_UNREACHABLE
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import is_lost
from serving_assets.pipeline.publishing.losses import newest_activation
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, collections_of
from serving_assets.store import Activation, Control, open_store

STORE = "online_store"
UNREACHABLE = Key(PLATFORM, STORE, STORE_UNREACHABLE)


def store_findings(
    platform: Platform, builder: FindingBuilder, open_keys: Iterable[Key], now: datetime
) -> Iterator[Finding]:
    """Compare each collection's control record with its log. A failure that is known already is not yielded again."""
    known = set(open_keys)
    collections = [c for use_case in platform.catalog.use_cases.values() for c in collections_of(use_case)]
    published = [(collection, log) for collection in collections if (log := newest_activation(platform, collection))]
    try:
        controls = _controls(platform, [collection.name for collection, _ in published])
    except ConflictError:
        return  # another process holds the file: it answers
    except ServingAssetsError as error:
        if UNREACHABLE not in known:
            yield platform_finding(STORE, STORE_UNREACHABLE, Severity.ERROR, now, message=str(error))
        return
    if UNREACHABLE in known:
        yield platform_finding(STORE, STORE_UNREACHABLE, Severity.OK, now)
    for collection, log in published:
        yield from _lost(builder, collection, controls[collection.name], log, known, now)


def _lost(
    builder: FindingBuilder,
    collection: PublishedCollection,
    control: Control | None,
    log: list[Activation],
    known: set[Key],
    now: datetime,
) -> Iterator[Finding]:
    asset = dg.AssetKey([collection.use_case, collection.asset])
    key = Key(builder.scope(asset), asset.to_user_string(), STORE_LOST)
    if is_lost(control, log):
        if key not in known:
            newest = log[-1]
            why = f"The store has lost generation {newest.generation.number}, active since {newest.at}."
            step = f"Bring it back from the lake: serving-assets restore {collection.use_case}"
            yield builder.asset_finding(asset, STORE_LOST, Severity.ERROR, now, message=why, first_step=step)
    elif key in known:
        yield builder.asset_finding(asset, STORE_LOST, Severity.OK, now)


def _controls(platform: Platform, names: Iterable[str]) -> dict[str, Control | None]:
    settings = platform.settings
    with open_store(settings.store, settings.mongodb) as store:
        store.collections()  # also where nothing was published yet, a store that does not answer is noticed
        return {name: store.control(name) for name in names}
