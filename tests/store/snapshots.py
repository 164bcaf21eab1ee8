"""Small snapshots as the lake would hand them to a store, for every test of this folder.

Here: texts, changes and targets made from plain dictionaries. Not here: a store, or what is expected of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving_assets.store import (
    DocumentChange,
    Entity,
    OnlineStore,
    PublishReport,
    PublishTarget,
    publish,
    read,
    total_digest,
)

Snapshot = Mapping[Entity, str]


def text(value: Any) -> str:
    """The document of an entity whose prediction is `value`."""
    return f'{{"v":{{"score":{value}}}}}'


def snapshot(values: Mapping[Entity, Any]) -> dict[Entity, str]:
    """The documents of predictions."""
    return {entity: text(value) for entity, value in values.items()}


def target(documents: Snapshot, *, as_of: str = "day 1", run_id: str = "run", version: int = 1) -> PublishTarget:
    """What a generation with `documents` holds in total."""
    return PublishTarget(as_of, "3", version, len(documents), total_digest(documents.items()), run_id)


def changes(old: Snapshot, new: Snapshot, *, unchanged: bool = False) -> list[DocumentChange]:
    """What turns `old` into `new`, with or without what is in both."""
    every = [DocumentChange(entity, old.get(entity), new.get(entity)) for entity in {**old, **new}]
    return every if unchanged else [change for change in every if change.old != change.new]


def published(store: OnlineStore, collection: str, old: Snapshot, new: Snapshot, **options: Any) -> PublishReport:
    """Publish `new` over `old`; `as_of`, `version` and `run_id` go to the target, the rest to publish."""
    about = {name: options.pop(name) for name in ("as_of", "version", "run_id") if name in options}
    options.setdefault("writer", "a writer")
    return publish(store, collection, changes(old, new), target(new, **about), **options)


def seen(store: OnlineStore, collection: str, entities: list[Entity]) -> dict[Entity, Any]:
    """What a reader finds of `entities`: the scores of those that exist."""
    values = read(store, collection, entities).values
    return {entity: found.value["score"] for entity, found in zip(entities, values, strict=True) if found}
