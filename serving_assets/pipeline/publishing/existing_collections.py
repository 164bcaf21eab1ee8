"""The collections that exist: those that use cases declare, and those that the store or the lake still holds of others.

Here: finding them, and what can be known of one whose declaration is gone. Not here: what a declared collection
publishes (published_documents.py).

What holds a person's data, or versions that a rollback needs, is decided by what exists: a use case whose folder was
removed leaves its documents, tables and activation log behind.
"""

from __future__ import annotations

import pyarrow as pa

from serving_assets.catalog.names import (
    activations_table,
    collection_of_activations,
    feature_activations_table,
    stage_table,
    use_case_of_features,
)
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, collections_of


def existing_collections(platform: Platform) -> list[PublishedCollection]:
    """Return every declared collection, then every other one in the store or with an activation log in the lake.

    Raises:
        StoreError: the store is out of reach.
    """
    use_cases = platform.catalog.use_cases.values()
    declared = {collection.name: collection for use_case in use_cases for collection in collections_of(use_case)}
    names = {*platform.store.collections(), *_logged(platform)}
    return [*declared.values(), *(undeclared_collection(name) for name in sorted(names - declared.keys()))]


def collections_left(platform: Platform, use_case: str) -> list[PublishedCollection]:
    """Return the existing collections of one use case, whether it is declared or not."""
    return [collection for collection in existing_collections(platform) if collection.use_case == use_case]


def undeclared_collection(name: str) -> PublishedCollection:
    """Return what the name of a collection reveals; its key and the values of its documents are unknown."""
    features = use_case_of_features(name)
    use_case = features or name
    return PublishedCollection(
        use_case=use_case,
        name=name,
        asset="online_features" if features else "online",
        table=stage_table(use_case, "features" if features else "latest"),
        publications=feature_activations_table(use_case) if features else activations_table(use_case),
        key="",
        day="day" if features else "scored_for",
        days=None,
        model_version=None if features else "model_version",
        values={},
        timezone="UTC",
    )


def may_hold(platform: Platform, collection: PublishedCollection, key: str) -> bool:
    """Whether the ids of a collection may be values of `key`: as declared, else by the columns of its table.

    True where neither is left: then each id decides.
    """
    if collection.key:
        return collection.key == key
    if collection.table not in platform.lake.tables():
        return True
    return key in (platform.lake.table(collection.table).schema() or pa.schema([])).names


def use_case_may_hold(platform: Platform, use_case: str, key: str) -> bool:
    """Whether predictions of a use case may be about entities of `key`; see `may_hold`."""
    declared = platform.catalog.use_cases.get(use_case)
    if declared is not None:
        return declared.spec.entity.key == key
    return may_hold(platform, undeclared_collection(use_case), key)


def _logged(platform: Platform) -> set[str]:
    return {found for table in platform.lake.tables() if (found := collection_of_activations(table))}
