"""A person's documents in the online store: out of the active generation, out of the one before it, and overwritten.

Here: the erasure from one collection. Not here: the lake (erase_person.py), or the protocol (store/).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from serving_assets.engines.person_hash import PersonHashes
from serving_assets.errors import InputError
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.privacy.find_person import documents_naming
from serving_assets.pipeline.publishing.activation_log import ActivationLog, origin, refuse_lost
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, documents_of
from serving_assets.store import (
    Cause,
    Control,
    DocumentChange,
    Generation,
    PublishTarget,
    drop_previous,
    publish,
    remove_tombstones,
    scan,
    total_digest,
)
from serving_assets.store.digest import MODULUS
from serving_assets.store.read import TOMBSTONE_GRACE_SECONDS

WRITER = "erasure"
"""The same for every erasure: a repetition takes over at once from one that was killed."""
REASON = "A person was erased."


def erase_documents(platform: Platform, collection: PublishedCollection, subjects: PersonHashes) -> None:
    """Publish the active generation without these persons, end the way back, and empty their documents.

    The pin of a rollback stays. An empty tombstone with the key is left until no read can need it; then retention
    removes it.

    Raises:
        StoreError: when the store has lost the collection: what is restored to it later would bring the person back.
        ConflictError: when a publish is running.
    """
    store, name = platform.store, collection.name
    control = store.control(name)
    known = ActivationLog(platform, collection).record(control)
    if control is None and not (known and collection.values):
        return  # nothing exists, and of what is no longer declared nothing can be restored
    control = refuse_lost(collection, control, known)
    full, empty = documents_naming(store, name, subjects)
    if control.published is None or not (full or empty):
        return
    rested = datetime.now(UTC) - datetime.fromisoformat(control.since or control.published.published_at)
    if full:
        _publish_without(platform, collection, control.published, subjects, control)
        control = drop_previous(store, name)
    overwritten = [DocumentChange(entity, None, None) for entity in (*full, *empty)]
    store.upsert(name, control.taken, None, control.void, overwritten)
    if rested > timedelta(seconds=TOMBSTONE_GRACE_SECONDS):
        # What older generations removed has rested long enough, and this one removed nothing else.
        remove_tombstones(store, name, grace_seconds=0)


def _publish_without(
    platform: Platform, collection: PublishedCollection, active: Generation, subjects: PersonHashes, control: Control
) -> None:
    store = platform.store
    theirs = [(entity, text) for entity, text in scan(store, collection.name) if subjects.among(entity)]
    rows, digest = active.rows - len(theirs), (active.digest - total_digest(theirs)) % MODULUS
    target = PublishTarget(
        as_of=active.as_of,
        model_version=active.model_version,
        snapshot_version=_version_with(platform, collection, active, rows, digest),
        rows=rows,
        digest=digest,
        run_id=f"{WRITER}-{uuid4()}",
    )
    cause = Cause("restore", by=WRITER, reason=REASON, repeats=origin(active), pin=control.pinned)
    changes = [DocumentChange(entity, text, None) for entity, text in theirs]
    publish(store, collection.name, changes, target, writer=WRITER, cause=cause)
    ActivationLog(platform, collection).record(store.control(collection.name))


def _version_with(
    platform: Platform, collection: PublishedCollection, active: Generation, rows: int, digest: int
) -> int:
    """The version of the table that has exactly the documents that are left, as a rule the newest.

    Where the table has moved on since the publish, there is none: the version published from is named, although it is
    given up. Then the lake no longer knows what the store holds, and the next publish writes every document anew.
    """
    newest = platform.lake.table(collection.table).at().version
    try:
        total = documents_of(collection, replace(active, snapshot_version=newest), platform.lake).total(platform.engine)
    except InputError:
        return active.snapshot_version
    return newest if (total.rows, total.digest) == (rows, digest) else active.snapshot_version
