"""What is done to a published collection apart from publishing and reading: rollback, dead leases, tombstones, parity.

Here: one-write operations on what is published, and the full comparison with the lake. Not here: anything that
changes a value.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from serving_assets.errors import ConflictError
from serving_assets.store.control_record import ROLLBACK, Cause, Control, Lease, with_void
from serving_assets.store.digest import count_and_digest
from serving_assets.store.protocol import OnlineStore
from serving_assets.store.read import TOMBSTONE_GRACE_SECONDS, scan
from serving_assets.store.records import Parity, StoreError

REPUBLISH = "Publish the older snapshot from the lake's history as a new generation."


def held_by(collection: str, lease: Lease) -> ConflictError:
    """The error of a writer that is not `lease.writer`."""
    until = datetime.fromtimestamp(lease.expires_at, UTC).isoformat(timespec="seconds")
    return ConflictError(
        f"{collection}: {lease.writer} publishes generation {lease.generation} and holds the collection until {until}.",
        hint="Wait for it to end; if it is dead, its lease runs out at that time and a retry takes over.",
    )


def release(store: OnlineStore, collection: str, lease: Lease) -> bool:
    """Take the lease from a writer that is known to be dead, so that the next one need not wait for it to run out.

    Its generation is void, as if it had abandoned it; should it live after all, it is fenced out. Returns whether it
    still held the lease.
    """
    control = store.control(collection)
    if control is None or control.lease != lease:
        return False
    void = with_void(control.void, lease.generation)
    return store.swap(
        collection, control.revision, replace(control, revision=control.revision + 1, void=void, lease=None)
    )


def rollback(store: OnlineStore, collection: str, *, cause: Cause = ROLLBACK, to: int | None = None) -> Control:
    """Make the previous generation active again, in one write, pinned or not as `cause` states.

    Raises:
        ConflictError: another writer publishes at this moment, or the previous generation is not number `to`.
        StoreError: a publish was killed since, or there is no previous generation: republish the older snapshot
            instead.
    """
    control = _unleased(store, collection)
    if not control.clean:
        raise StoreError(
            f"{collection}: a publish stopped half-way after generation {control.active}, and may have overwritten what"
            f" generation {control.previous} needs.",
            hint=REPUBLISH,
        )
    if control.published is None or control.before is None:
        raise StoreError(
            f"{collection}: generation {control.active} has no previous one to go back to.", hint=REPUBLISH
        )
    if to not in (None, control.previous):
        raise ConflictError(
            f"{collection}: one write leads from generation {control.active} to {control.previous}, not to {to}.",
            hint="Another process may have changed the active generation first: check the status, then try again.",
        )
    now = control.next_moment()
    target = replace(
        control,
        published=control.before,
        before=None,
        since=now,
        void=with_void(control.void, control.published.number),
    )
    return _swapped(store, collection, control, target.noted(control.before, cause, now))


def set_pin(store: OnlineStore, collection: str, cause: Cause) -> Control:
    """Pin the active generation with `cause.pin`, or with None unpin it, in one write.

    A pinned collection refuses what is new; another rollback, or a restore, may still replace the generation.

    Raises:
        ConflictError: another writer publishes at this moment.
        StoreError: nothing has been published.
    """
    control = _unleased(store, collection)
    assert control.published is not None
    return _swapped(store, collection, control, control.noted(control.published, cause, control.next_moment()))


def _unleased(store: OnlineStore, collection: str) -> Control:
    """The control record of a collection to which no process is publishing."""
    control = store.control(collection)
    if control is None or control.published is None:
        raise StoreError(f"{collection}: nothing has been published, so there is nothing to roll back or to pin.")
    if control.lease and control.lease.expires_at > time.time():
        raise held_by(collection, control.lease)
    return control


def _swapped(store: OnlineStore, collection: str, control: Control, new: Control) -> Control:
    new = replace(new, revision=control.revision + 1)
    if not store.swap(collection, control.revision, new):
        raise ConflictError(
            f"{collection}: another process changed the active generation first.", hint="Look, then try again."
        )
    return new


def drop_previous(store: OnlineStore, collection: str) -> Control:
    """Let go of the generation before the active one, so that no rollback leads back to it in one write.

    Raises:
        ConflictError: another writer publishes at this moment.
        StoreError: nothing has been published.
    """
    control = _unleased(store, collection)
    return _swapped(store, collection, control, replace(control, before=None))


def remove_tombstones(store: OnlineStore, collection: str, *, grace_seconds: float = TOMBSTONE_GRACE_SECONDS) -> int:
    """Delete the tombstones that neither the active nor the previous generation needs; return how many.

    Does nothing until the active generation is `grace_seconds` old. A read that began before may still need them; and
    the network may deliver an acknowledged write of an older generation twice, which would bring a removed document
    back. Writers that lost their lease may write at any time: their generations are void.
    """
    control = store.control(collection)
    if control is None or control.active is None or control.since is None:
        return 0
    if (datetime.now(UTC) - datetime.fromisoformat(control.since)).total_seconds() < grace_seconds:
        return 0
    newest = control.active if control.previous is None else control.previous
    return store.remove(collection, newest, control.void)


def parity(store: OnlineStore, collection: str, expected_rows: int, expected_digest: int) -> Parity:
    """Read every document of the active generation and compare count and digest with the lake's.

    Raises:
        ConflictError: others published so much meanwhile that the generation is gone.
    """
    control = store.control(collection)
    rows, digest = count_and_digest(scan(store, collection))
    return Parity(control.active if control else None, rows, digest, expected_rows, expected_digest)
