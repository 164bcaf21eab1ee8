"""The writer's side of the protocol: one new generation, invisible until a single write flips it in.

Here: its steps: lease, writing, repair, verification, flip. Not here: their order (publish.py), what the documents
say (the lake), which slot a reader takes (read.py), and rollback (maintain.py).

Why it is safe, whichever writer is killed or wakes up late:

- A writer takes a generation number that was never taken before, by compare-and-set on the control record; the number
is its
  fencing token.
- Documents are written so that a reader of the active generation finds in `prev` what it found before; so nothing
  becomes visible.
- The flip is a compare-and-set that requires the token; a writer that lost the lease cannot flip.
- A writer that takes over declares the other's generation void. Readers pass over void slots, so a document that a
  fenced-out writer still writes after the other's flip shows its `prev`; and what the other has written has a higher
  number, which no late write replaces.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import replace

from serving_assets.errors import ConflictError
from serving_assets.store.control_record import PUBLISH, Cause, Control, Generation, Lease, PublishTarget, with_void
from serving_assets.store.digest import MODULUS, columns_digest
from serving_assets.store.maintain import held_by
from serving_assets.store.protocol import OnlineStore
from serving_assets.store.read import REWRITE, Stale, visible
from serving_assets.store.records import (
    BareChange,
    DisagreementError,
    Entity,
    PinnedError,
    StoreError,
    check_entities,
)

LEASE_SECONDS = 300.0
SAMPLE_PER_BATCH = 5
SAMPLE_TOTAL = 200


class Publication:
    """One generation being written. Its steps, in order: `write` any number of times, `settle`, `verify`, `flip`.

    With `rewrite` every document handed to `write` is written, whether it differs or not, and `settle` removes all
    that was not: so the changes must name every entity of the target and of the published snapshot.

    Each step raises ConflictError when another writer has taken over. Nothing is visible before `flip`; `abandon`
    gives up early.
    """

    def __init__(
        self,
        store: OnlineStore,
        collection: str,
        control: Control,
        cause: Cause,
        lease_seconds: float,
        rewrite: bool,
    ) -> None:
        self.store = store
        self.collection = collection
        self.control = control
        self.cause = cause
        self.generation = control.taken
        self.base = control.active
        self.changed = self.removed = self.repaired = 0
        self.rows = control.published.rows if control.published and not rewrite else 0
        self.digest = control.published.digest if control.published and not rewrite else 0
        self._rewrite = rewrite
        self._lease_seconds = lease_seconds
        self._random = random.Random(self.generation)
        self._sample: list[BareChange] = []

    @classmethod
    def begin(
        cls,
        store: OnlineStore,
        collection: str,
        *,
        writer: str,
        lease_seconds: float = LEASE_SECONDS,
        rewrite: bool = False,
        cause: Cause = PUBLISH,
        highest_known_generation: int = 0,
    ) -> Publication:
        """Take the next generation number and the lease, in one write.

        A lease that has run out, or is held under the same name, is taken over. `highest_known_generation` is the
        highest generation known to have been active: a store that was lost, or came back older, goes on behind it.

        Raises:
            PinnedError: the collection is pinned, and `cause` would bring something new.
            ConflictError: another writer publishes, or was faster; names the holder.
        """
        control = (store.control(collection) or Control()).beyond(highest_known_generation)
        refuse_pinned(collection, control, cause)
        if control.lease and control.lease.writer != writer and control.lease.expires_at > time.time():
            raise held_by(collection, control.lease)
        number = control.taken + 1
        taken = replace(
            control,
            revision=control.revision + 1,
            taken=number,
            clean=False,
            void=with_void(control.void, control.lease.generation) if control.lease else control.void,
            lease=Lease(writer, number, time.time() + lease_seconds),
        )
        if not store.swap(collection, control.revision, taken):
            rival = store.control(collection)
            if rival and rival.lease:
                raise held_by(collection, rival.lease)
            raise ConflictError(f"{collection}: another process changed the control record first.", hint="Try again.")
        return cls(store, collection, taken, cause, lease_seconds, rewrite)

    def write(self, batch: Sequence[BareChange]) -> int:
        """Write those documents of `batch` that differ, and keep a few of all for `verify`; returns how many."""
        self._hold()
        written = batch if self._rewrite else [change for change in batch if change[1] != change[2]]
        if written:
            entities, before, after = zip(*written, strict=True)
            check_entities(entities)
            self.store.upsert(self.collection, self.generation, self.base, self.control.void, written)
            self._tally(entities, before, after)
            self._keep_sample(written)
        if len(written) < len(batch):
            self._keep_sample([change for change in batch if change[1] == change[2]])
        return len(written)

    def settle(self) -> None:
        """Put right what void generations left behind and this one did not overwrite."""
        self._hold()
        if self.control.void or self.generation != (self.base or 0) + 1:
            self.repaired += self.store.settle(self.collection, self.generation, self.base, self.control.void)
        if self._rewrite:
            self.removed += self.store.clear(self.collection, self.generation, self.base, self.control.void)

    def verify(self, target: PublishTarget) -> None:
        """Compare what was written, and what the store now holds, with `target`.

        Raises:
            DisagreementError: count, digest or a sampled document differ; nothing visible has changed.
        """
        self._hold()
        if (self.rows, self.digest) != (target.rows, target.digest):
            raise self._refusal(
                f"the changes lead to {self.rows} documents with digest {self.digest},"
                f" the target has {target.rows} with digest {target.digest}",
                "Compute the changes between the published snapshot and the target again, or publish with rewrite.",
            )
        counted = self.store.count(self.collection, self.generation, self.control.void)
        if counted != target.rows:
            raise self._refusal(f"the store would hold {counted} documents, the target has {target.rows}", REWRITE)
        documents = self.store.documents(self.collection, [entity for entity, _, _ in self._sample])
        for entity, _, new in self._sample:
            document = documents.get(entity)
            try:
                text = visible(document, self.generation, self.control) if document else None
            except Stale:
                text = None
            if text != new:
                raise self._refusal(
                    f"a reader of the new generation would not find what was written for {entity!r}", REWRITE
                )

    def flip(self, target: PublishTarget) -> Control:
        """Make this generation the active one, in one write.

        Raises:
            ConflictError: the lease was lost; nothing visible has changed.
        """
        now = self.control.next_moment()
        published = Generation(
            number=self.generation,
            as_of=target.as_of,
            model_version=target.model_version,
            snapshot_version=target.snapshot_version,
            rows=target.rows,
            digest=target.digest,
            run_id=target.run_id,
            writer=self._lease().writer,
            published_at=now,
            repeats=self.cause.repeats,
            form=target.form,
        )
        flipped = replace(
            self.control, published=published, before=self.control.published, clean=True, since=now, lease=None
        )
        self._swap(flipped.noted(published, self.cause, now))
        return self.control

    def abandon(self) -> None:
        """Give the lease back, so that the next writer need not wait for it to run out; without a lease, do nothing."""
        with contextlib.suppress(ConflictError, StoreError):
            self._lease()
            self._swap(replace(self.control, void=with_void(self.control.void, self.generation), lease=None))

    def _tally(self, entities: Sequence[Entity], before: Sequence[str | None], after: Sequence[str | None]) -> None:
        added, digest = _counted(entities, after)
        self.changed += added
        self.removed += len(entities) - added
        self.rows += added
        self.digest += digest
        if not self._rewrite:
            replaced, digest = _counted(entities, before)
            self.rows -= replaced
            self.digest -= digest
        self.digest %= MODULUS

    def _keep_sample(self, written: Sequence[BareChange]) -> None:
        self._sample += self._random.sample(written, min(len(written), SAMPLE_PER_BATCH))
        if len(self._sample) > SAMPLE_TOTAL:
            self._sample = self._random.sample(self._sample, SAMPLE_TOTAL // 2)

    def _lease(self) -> Lease:
        if self.control.lease is None:
            raise ConflictError(
                f"{self.collection}: generation {self.generation} has been flipped or abandoned already.",
                hint="Begin another publication.",
            )
        return self.control.lease

    def _hold(self) -> None:
        """Make sure that the lease is still ours, and renew it in good time."""
        control = self.store.control(self.collection)
        if control != self.control:
            raise self._fenced_out(control)
        lease = self._lease()
        if lease.expires_at - time.time() < self._lease_seconds * 2 / 3:
            self._swap(replace(control, lease=replace(lease, expires_at=time.time() + self._lease_seconds)))

    def _swap(self, control: Control) -> None:
        control = replace(control, revision=self.control.revision + 1)
        if not self.store.swap(self.collection, self.control.revision, control):
            raise self._fenced_out(self.store.control(self.collection))
        self.control = control

    def _fenced_out(self, control: Control | None) -> ConflictError | StoreError:
        if control is None:
            return StoreError(
                f"{self.collection}: the store has lost its control record while generation {self.generation} was"
                f" published; readers learn that nothing is available.",
                hint="Find out why it is empty, then publish again: everything in it comes from the lake.",
            )
        if control.lease:
            return held_by(self.collection, control.lease)
        return ConflictError(
            f"{self.collection}: another writer took over from generation {self.generation};"
            f" active is now {control.active}.",
            hint="Nothing of this publish is visible. Publish again if what is active is not what you want.",
        )

    def _refusal(self, found: str, hint: str) -> DisagreementError:
        return DisagreementError(
            f"{self.collection}: generation {self.generation} is refused: {found}. Readers still see"
            f" generation {self.base}.",
            hint=hint,
        )


def refuse_pinned(collection: str, control: Control, cause: Cause) -> None:
    """Let nothing new replace what a rollback has brought back, until `resume`."""
    if control.pinned and cause.kind == "publish":
        raise PinnedError(collection, control.active, control.pinned)


def _counted(entities: Sequence[Entity], texts: Sequence[str | None]) -> tuple[int, int]:
    """How many documents there are, and their digest; an entity without a text has none."""
    there = [text for text in texts if text is not None]
    if len(there) < len(texts):
        entities = [entity for entity, text in zip(entities, texts, strict=True) if text is not None]
    return len(there), columns_digest(entities, there)
