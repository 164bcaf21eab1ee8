"""Restore: what the store has lost is brought back from the lake.

Here: whether anything is missing, and bringing it back. Not here: its screen (commands/restore.py), or publishing
(publisher.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.errors import InputError
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog, is_lost, loss, pin_of
from serving_assets.pipeline.publishing.dead_leases import Runs, release_dead_lease
from serving_assets.pipeline.publishing.published_documents import (
    PublishedCollection,
    collections_of,
    documents_of,
    predictions_of,
)
from serving_assets.pipeline.publishing.publisher import Publisher, parity_with
from serving_assets.store import RETIRE, Activation, Cause, Control, Generation, Parity

DAMAGED = "the store did not hold what the lake says was published"


@dataclass(frozen=True)
class Restored:
    """What came of a restore: which generation was active before, which is now, and why it had to be brought back.

    `why` is None when nothing was missing. `parity` compares every document with the lake, afterwards.
    """

    use_case: str
    collection: str
    was: int
    generation: int
    why: str | None
    pinned: bool
    parity: Parity


def restore_all(platform: Platform, use_case: BoundUseCase, by: str, runs: Runs, reason: str = "") -> list[Restored]:
    """Restore whatever was ever published of a use case, the predictions first; see `restore`."""
    first, *others = collections_of(use_case) or [predictions_of(use_case)]
    published = [other for other in others if ActivationLog(platform, other).entries()]
    return [restore(platform, collection, by, runs, reason) for collection in (first, *published)]


def restore(platform: Platform, collection: PublishedCollection, by: str, runs: Runs, reason: str = "") -> Restored:
    """Make the store hold what was active, when it came back empty, older or damaged; otherwise change nothing.

    It becomes a new generation, whose number goes on behind all that were used; a pin stays. May be killed and
    repeated. A publish whose run is dead, as `runs` know, is not waited for.

    Raises:
        InputError: nothing was ever published, or the lake no longer has what was.
        StoreError, ConflictError: the store is out of reach; another writer publishes at this moment.
    """
    store, name = platform.store, collection.name
    release_dead_lease(runs, store, name)
    control = store.control(name)
    log = ActivationLog(platform, collection).record(control)
    if not log:
        raise InputError(
            f"Nothing of {name} was ever published, so there is nothing to restore.",
            hint="Materialize its online asset: make demo, or serving-assets backfill.",
        )
    if log[-1].kind == RETIRE:
        raise InputError(
            f"{name} was retired at {log[-1].at} by {log[-1].by}.",
            hint=f"If it is to be served again: serving-assets rollback {collection.use_case}.",
        )
    why, active = _loss(platform, collection, control, log)
    if why:
        writer = f"restore by {by}"
        cause = Cause("restore", by, "; ".join(filter(None, (why, reason))), pin=pin_of(log))
        Publisher(platform, collection, writer, writer).bring_back(active, cause, rewrite_reason=why)
    after = store.control(name)
    assert after is not None
    assert after.published is not None
    return Restored(
        use_case=collection.use_case,
        collection=name,
        was=active.number,
        generation=after.published.number,
        why=why,
        pinned=after.pinned is not None,
        parity=parity_with(platform, documents_of(collection, after.published, platform.lake)),
    )


def _loss(
    platform: Platform, collection: PublishedCollection, control: Control | None, log: Sequence[Activation]
) -> tuple[str | None, Generation]:
    """What became of the active generation, None when nothing, and which that is."""
    lost = is_lost(control, log)
    active = log[-1].generation if lost or control is None or control.published is None else control.published
    try:
        snapshot = documents_of(collection, active, platform.lake)
    except InputError as error:
        raise InputError(
            f"{collection.name}: generation {active.number} cannot be restored: {error.message}",
            hint=f"Publish the newest instead: materialize {collection.use_case}/{collection.asset}.",
        ) from error
    if lost:
        return loss(log), active
    return None if parity_with(platform, snapshot).equal else DAMAGED, active
