"""Publishing a snapshot of the lake to the online store, and remembering that it was done.

Here: what every publish does, whatever asks for it: the nightly run, a rollback, a restore. Not here: when
(pipeline/stages/online.py, rollback.py, restore.py), or the protocol that makes it atomic (store/).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import pyarrow.compute as pc

from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.failpoints import failpoint
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog, origin
from serving_assets.pipeline.publishing.published_documents import (
    PublishedCollection,
    PublishedDocuments,
    Total,
    changes_sql,
    documents_of,
    python_values,
    text_bytes,
)
from serving_assets.store import (
    BareChange,
    Cause,
    Control,
    DisagreementError,
    Generation,
    Parity,
    PublishReport,
    PublishTarget,
    parity,
    publish,
    scan,
)

VERIFIED_UNCHANGED = 100
"""How many unchanged documents a publish reads back, about."""


@dataclass(frozen=True)
class Published:
    """What came of a publish: the report of the store, what was published, and the bytes of the documents written.

    `rewritten` tells why every document was written anew; None where only the differences were.
    """

    report: PublishReport
    total: Total
    written_bytes: int
    rewritten: str | None


@dataclass(frozen=True)
class Publisher:
    """Publishes snapshots of one collection as `writer`, on behalf of the run `run_id`.

    `progress` is called now and then with the number of documents handled, `warned` with each warning.
    """

    platform: Platform
    collection: PublishedCollection
    writer: str
    run_id: str
    progress: Callable[[int], None] | None = None
    warned: Callable[[str], None] | None = None

    @property
    def log(self) -> ActivationLog:
        """The log in which each activation is entered."""
        return ActivationLog(self.platform, self.collection)

    def publish(self, snapshot: PublishedDocuments, cause: Cause, *, rewrite_reason: str | None = None) -> Published:
        """Make `snapshot` what readers get.

        Only the differences to the published snapshot are written, found in the lake alone. When the lake no longer
        knows what the store holds (a column or a precision was declared anew, an old version is gone, documents were
        lost), or with `rewrite_reason`, which says why, everything is.

        Raises:
            PinnedError, ConflictError, StoreError: see store.publish.
        """
        with spared_collector():
            return self._publish(snapshot, cause, rewrite_reason)

    def _publish(self, snapshot: PublishedDocuments, cause: Cause, rewrite_reason: str | None) -> Published:
        control = self.platform.store.control(self.collection.name)
        known = self.log.record(control)
        highest_known_generation = max((entry.generation.number for entry in known), default=0)
        put = partial(self._put, snapshot, cause, highest_known_generation)
        known_total = None if rewrite_reason else _known_total(snapshot, control)
        try:
            published = put(known_total or snapshot.total(self.platform.engine), rewrite_reason)
        except DisagreementError as error:
            if rewrite_reason is not None:
                raise
            if self.warned:
                self.warned(f"{error} Every document is written anew.")
            published = put(snapshot.total(self.platform.engine), str(error))
        failpoint("online.before_publication_row")
        self.log.record(self.platform.store.control(self.collection.name))
        return published

    def bring_back(self, earlier: Generation, cause: Cause, *, rewrite_reason: str | None = None) -> Published:
        """Make the documents of an earlier generation what readers get again, as a new one.

        Raises:
            InputError: the lake no longer has its snapshot.
        """
        snapshot = documents_of(self.collection, earlier, self.platform.lake)
        return self.publish(snapshot, replace(cause, repeats=origin(earlier)), rewrite_reason=rewrite_reason)

    def _put(
        self,
        snapshot: PublishedDocuments,
        cause: Cause,
        highest_known_generation: int,
        total: Total,
        rewrite_reason: str | None,
    ) -> Published:
        store = self.platform.store
        size = 0

        def counted(control: Control) -> Iterator[BareChange]:
            nonlocal size
            if rewrite_reason is not None:
                size = total.bytes
                yield from self._everything(snapshot)
                return
            for changes, written in self._differences(snapshot, total, control):
                size += written
                yield from changes

        target = PublishTarget(
            as_of=snapshot.as_of,
            model_version=snapshot.stamp.model_version,
            snapshot_version=snapshot.scan.version,
            rows=total.rows,
            digest=total.digest,
            run_id=self.run_id,
            form=snapshot.form,
        )
        report = publish(
            store,
            self.collection.name,
            counted,
            target,
            writer=self.writer,
            rewrite=rewrite_reason is not None,
            cause=cause,
            highest_known_generation=highest_known_generation,
            progress=self.progress,
        )
        return Published(report, total, size, rewrite_reason)

    def _differences(
        self, snapshot: PublishedDocuments, total: Total, control: Control
    ) -> Iterator[tuple[Iterator[BareChange], int]]:
        """The documents that differ from the published ones, in batches, with the bytes of the new texts."""
        inputs, old = {"target": Input(snapshot.scan)}, None
        if control.published:
            try:
                published = documents_of(self.collection, control.published, self.platform.lake)
            except InputError as error:
                raise DisagreementError(
                    f"{self.collection.name}: the lake no longer knows generation {control.active}: {error.message}",
                    hint="Publish again with rewrite.",
                ) from error
            inputs["published"], old = Input(published.scan), published.documents_sql("published")
        stride = max(total.rows // VERIFIED_UNCHANGED, 1)
        query = Query(changes_sql(old, snapshot.documents_sql("target"), stride), inputs)
        for batch in self.platform.engine.stream(query):
            before, after = batch.column(1), batch.column(2)
            changed = pc.fill_null(pc.not_equal(before, after), True)
            yield zip(*map(python_values, batch.columns), strict=True), text_bytes(after.filter(changed))

    def _everything(self, snapshot: PublishedDocuments) -> Iterator[BareChange]:
        """Every document of the snapshot, and the removal of whatever else the store shows.

        Holds the ids in memory: the one place that does, and only when the lake cannot tell what must go.
        """
        named = set()
        for entity, text in snapshot.documents(self.platform.engine):
            named.add(entity)
            yield entity, None, text
        for entity, text in scan(self.platform.store, self.collection.name):
            if entity not in named:
                yield entity, text, None


def _known_total(snapshot: PublishedDocuments, control: Control | None) -> Total | None:
    """What was counted when this very version, made into documents in the same way, was published; None if it is not.

    A publish that has nothing to do then reads none of its rows.
    """
    active = control.published if control else None
    if active is None or (active.snapshot_version, active.form) != (snapshot.scan.version, snapshot.form):
        return None
    return Total(active.rows, active.digest, 0)


@contextmanager
def spared_collector() -> Iterator[None]:
    """Keep what the process held before out of the garbage collector's way.

    Rows come and go by millions, so it makes full passes, and each would look at all that Dagster holds: half a
    million objects, a sixth of the time of a publish.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def parity_with(platform: Platform, snapshot: PublishedDocuments, total: Total | None = None) -> Parity:
    """Every document that readers get against those of `snapshot`, by count and digest."""
    with spared_collector():
        total = total or snapshot.total(platform.engine)
        return parity(platform.store, snapshot.collection.name, total.rows, total.digest)
