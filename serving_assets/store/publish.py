"""Publishing a snapshot of the lake as one new generation: the steps of publication.py in their order.

Here: when nothing needs to be written, batches, progress, failpoints, the report. Not here: why each step is safe
(publication.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from serving_assets.failpoints import failpoint
from serving_assets.store.control_record import PUBLISH, Cause, Control, PublishTarget
from serving_assets.store.protocol import OnlineStore
from serving_assets.store.publication import LEASE_SECONDS, Publication, refuse_pinned
from serving_assets.store.records import BareChange, PublishReport

Changes = Iterable[BareChange] | Callable[[Control], Iterable[BareChange]]

BATCH_ROWS = 50_000


def publish(
    store: OnlineStore,
    collection: str,
    changes: Changes,
    target: PublishTarget,
    *,
    writer: str,
    rewrite: bool = False,
    cause: Cause = PUBLISH,
    highest_known_generation: int = 0,
    batch_rows: int = BATCH_ROWS,
    lease_seconds: float = LEASE_SECONDS,
    progress: Callable[[int], None] | None = None,
) -> PublishReport:
    """Publish `target` by writing `changes`; readers see all of it or nothing.

    When the active generation already holds the target, nothing is written and no change is read; the control record
    merely learns the target's snapshot version.

    Args:
        changes: each entity at most once, at least all whose text differs between the published snapshot and the
            target; some that do not differ are welcome, to have them verified. A function is given the control record
            that the publish builds on, so that no other writer can publish between the comparison of the snapshots and
            the publish.
        writer: names this writer in the errors that others get. A second publish under the same name takes over from
            the first.
        rewrite: trust nothing that the store holds: `changes` names every entity of the published snapshot and of the
            target; all are written, and all others removed.
        cause: why, for the log of activations; only a rollback or a restore may replace a pinned generation.
        highest_known_generation: the highest generation number known to have been active, which a lost store does not
        know any more. batch_rows: changes per write; memory grows with it. lease_seconds: after how long without a
        batch others may take over. progress: called after each batch with the number of changes handled so far.

    Raises:
        ConflictError: another writer publishes, or has taken over.
        PinnedError: a rollback has pinned the active generation.
        DisagreementError: changes, store and target do not agree; a publish with rewrite does not mind.
        StoreError: the store is out of reach.
        InputError: an entity id is neither text nor an integer of 64 bits.
    """
    started = time.monotonic()
    control = store.control(collection)
    if control:
        refuse_pinned(collection, control, cause)
    if control and cause.kind == "publish" and not rewrite and _holds(store, collection, control, target):
        return PublishReport(
            control.active or 0, 0, 0, target.rows, 0, target.rows, target.digest, time.monotonic() - started
        )
    publication = Publication.begin(
        store,
        collection,
        writer=writer,
        lease_seconds=lease_seconds,
        rewrite=rewrite,
        cause=cause,
        highest_known_generation=highest_known_generation,
    )
    try:
        failpoint("store.publish.after_begin")
        _write(publication, changes(publication.control) if callable(changes) else changes, batch_rows, progress)
        publication.settle()
        failpoint("store.publish.before_verify")
        publication.verify(target)
        failpoint("store.publish.before_flip")
        publication.flip(target)
    except BaseException:
        publication.abandon()
        raise
    failpoint("store.publish.after_flip")
    return PublishReport(
        generation=publication.generation,
        changed=publication.changed,
        removed=publication.removed,
        unchanged=target.rows - publication.changed,
        repaired=publication.repaired,
        rows=target.rows,
        digest=target.digest,
        seconds=time.monotonic() - started,
    )


def _holds(store: OnlineStore, collection: str, control: Control, target: PublishTarget) -> bool:
    """Whether `target` is active already; the newer of equal snapshots is recorded: the lake forgets the older."""
    if not control.clean or control.published is None or not control.published.holds(target):
        return False
    published = replace(control.published, snapshot_version=target.snapshot_version, form=target.form)
    if published == control.published:
        return True
    return store.swap(
        collection, control.revision, replace(control, revision=control.revision + 1, published=published)
    )


def _write(
    publication: Publication, changes: Iterable[BareChange], batch_rows: int, progress: Callable[[int], None] | None
) -> None:
    handled = 0
    stream = iter(changes)
    while batch := list(islice(stream, batch_rows)):
        if publication.write(batch):
            failpoint("store.publish.mid_write")
        handled += len(batch)
        if progress:
            progress(handled)
