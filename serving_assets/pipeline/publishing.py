"""Publishing a snapshot of the lake to the online store, and remembering that it was done.

Here: what every publish does, whoever asks for it: the nightly run, a rollback, a restore. Not here: when
(stages/online.py, operations/), or the protocol that makes it atomic (store/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pyarrow.compute as pc

from serving_assets.engines.query import Input, Query
from serving_assets.errors import InputError
from serving_assets.failpoints import failpoint
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publications import Publications, origin
from serving_assets.pipeline.snapshot import (
    Collection,
    Snapshot,
    Total,
    changes_sql,
    python_values,
    snapshot_of,
    text_bytes,
)
from serving_assets.store import (
    BareChange,
    Control,
    DisagreementError,
    Generation,
    Occasion,
    Parity,
    PublishReport,
    Target,
    parity,
    publish,
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

    `told` is called now and then with the number of documents handled, `warned` with what a person should know.
    """

    platform: Platform
    collection: Collection
    writer: str
    run_id: str
    told: Callable[[int], None] | None = None
    warned: Callable[[str], None] | None = None

    @property
    def log(self) -> Publications:
        """The log in which each activation is entered."""
        return Publications(self.platform, self.collection)

    def publish(self, snapshot: Snapshot, occasion: Occasion, *, distrust: str | None = None) -> Published:
        """Make `snapshot` what readers get.

        Only the differences to the published snapshot are written, found in the lake alone. When the lake no longer
        knows what the store holds (a column or a precision was declared anew, an old version is gone, documents were
        lost), or with `distrust`, which says why, everything is.

        Raises:
            PinnedError, ConflictError, StoreError: see store.publish.
        """
        known = self.log.record(self.platform.store.control(self.collection.name))
        spent = max((entry.generation.number for entry in known), default=0)
        total = snapshot.total(self.platform.engine)
        put = partial(self._put, snapshot, total, occasion, spent)
        if distrust is not None:
            published = put(distrust)
        else:
            try:
                published = put(None)
            except DisagreementError as error:
                if self.warned:
                    self.warned(f"{error} Every document is written anew.")
                published = put(str(error))
        failpoint("online.before_publication_row")
        self.log.record(self.platform.store.control(self.collection.name))
        return published

    def bring_back(self, earlier: Generation, occasion: Occasion, *, distrust: str | None = None) -> Published:
        """Make the documents of an earlier generation what readers get again, as a new one.

        Raises:
            InputError: the lake no longer has its snapshot.
        """
        snapshot = snapshot_of(self.collection, earlier, self.platform.lake)
        return self.publish(snapshot, replace(occasion, repeats=origin(earlier)), distrust=distrust)

    def _put(self, snapshot: Snapshot, total: Total, occasion: Occasion, spent: int, distrust: str | None) -> Published:
        store = self.platform.store
        size = 0

        def counted(control: Control) -> Iterator[BareChange]:
            nonlocal size
            if distrust is not None:
                size = total.bytes
                yield from self._everything(snapshot)
                return
            for changes, written in self._differences(snapshot, total, control):
                size += written
                yield from changes

        target = Target(
            as_of=snapshot.as_of,
            model_version=snapshot.stamp.model_version,
            snapshot_version=snapshot.scan.version,
            rows=total.rows,
            digest=total.digest,
            run_id=self.run_id,
        )
        report = publish(
            store,
            self.collection.name,
            counted,
            target,
            writer=self.writer,
            rewrite=distrust is not None,
            occasion=occasion,
            spent=spent,
            progress=self.told,
        )
        return Published(report, total, size, distrust)

    def _differences(
        self, snapshot: Snapshot, total: Total, control: Control
    ) -> Iterator[tuple[Iterator[BareChange], int]]:
        """The documents that differ from the published ones, in batches, with the bytes of the new texts."""
        inputs, old = {"target": Input(snapshot.scan)}, None
        if control.published:
            try:
                published = snapshot_of(self.collection, control.published, self.platform.lake)
            except InputError as error:
                raise DisagreementError(
                    f"{self.collection.name}: the lake no longer knows generation {control.active}: {error.message}",
                    mend="Publish again with rewrite.",
                ) from error
            inputs["published"], old = Input(published.scan), published.documents_sql("published")
        stride = max(total.rows // VERIFIED_UNCHANGED, 1)
        query = Query(changes_sql(old, snapshot.documents_sql("target"), stride), inputs)
        for batch in self.platform.engine.stream(query):
            before, after = batch.column(1), batch.column(2)
            changed = pc.fill_null(pc.not_equal(before, after), True)
            yield zip(*map(python_values, batch.columns), strict=True), text_bytes(after.filter(changed))

    def _everything(self, snapshot: Snapshot) -> Iterator[BareChange]:
        """Every document of the snapshot, and the removal of whatever else the store shows.

        Holds the ids in memory: the one place that does, and only when the lake cannot tell what must go.
        """
        named = set()
        for entity, text in snapshot.documents(self.platform.engine):
            named.add(entity)
            yield entity, None, text
        for entity, text in self.platform.store.scan(self.collection.name):
            if entity not in named:
                yield entity, text, None


def parity_with(platform: Platform, snapshot: Snapshot, total: Total | None = None) -> Parity:
    """Every document that readers get against those of `snapshot`, by count and digest."""
    total = total or snapshot.total(platform.engine)
    return parity(platform.store, snapshot.collection.name, total.rows, total.digest)
