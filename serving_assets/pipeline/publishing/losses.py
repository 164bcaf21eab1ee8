"""What the online store has lost of what a use case published, by the lake's log.

Here: one control record against the newest entry of one log. Not here: bringing it back (restore.py, and the online
assets themselves), or reporting it (pipeline/observing/findings_from_store.py).
"""

from __future__ import annotations

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.errors import ServingAssetsError
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog, is_lost
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, collections_of
from serving_assets.store import Activation

_newest: dict[str, tuple[int | None, list[Activation]]] = {}
"""The newest entry of each log by the address of its table, with the version that it was read from."""


def newest_activation(platform: Platform, collection: PublishedCollection) -> list[Activation]:
    """Return the newest entry of a collection's log, none while it is empty; read again only when the log has grown."""
    table = platform.lake.table(collection.publications)
    version = table.version()
    if version is None:
        return []
    if _newest.get(table.uri, (None, []))[0] != version:
        _newest[table.uri] = version, ActivationLog(platform, collection).entries()[-1:]
    return _newest[table.uri][1]


def losses(platform: Platform, use_case: BoundUseCase) -> list[tuple[str, Activation]]:
    """Return the collections that the store has lost, each with what was active last; none while it is out of reach."""
    found = []
    for collection in collections_of(use_case):
        log = newest_activation(platform, collection)
        try:
            if log and is_lost(platform.store.control(collection.name), log):
                found.append((collection.name, log[-1]))
        except ServingAssetsError:
            return []
    return found
