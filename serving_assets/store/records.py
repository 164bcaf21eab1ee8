"""The records that the online store's protocol speaks in.

Here: what a caller hands over, what a reader gets back, and what a store keeps. Not here: what happens to them
(reading.py, publish.py) or how they are kept (one module per implementation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from serving_assets.errors import InputError, ServingAssetsError

Entity = int | str
"""The id of a document. Its type counts: `1` and `"1"` are two documents."""

Ranges = tuple[tuple[int, int], ...]
"""Closed, ascending, disjoint ranges of generation numbers."""

_INT64 = 1 << 63


class StoreError(ServingAssetsError):
    """The online store is out of reach, damaged, or refuses what was asked; nothing a reader sees has changed."""


class Change(NamedTuple):
    """What one entity's document says in the published snapshot and in the target. `None`: there is no document.

    Both texts come from the lake. `old == new` writes nothing; such a change offers the document for verification.
    A NamedTuple because a publish handles millions of them.
    """

    entity: Entity
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """What a new generation must hold in total.

    Attributes:
        as_of: the instant the predictions speak of, ISO 8601.
        model_version: the model that made them.
        snapshot_version: the lake version of the table that is published.
        rows: number of documents.
        digest: order-independent digest of all documents, see digest.py.
        run_id: the run that publishes.
    """

    as_of: str
    model_version: str
    snapshot_version: int
    rows: int
    digest: int
    run_id: str


@dataclass(frozen=True, slots=True)
class Generation:
    """A published generation: what it holds, who published it, and when it was flipped in (ISO 8601, UTC)."""

    number: int
    as_of: str
    model_version: str
    snapshot_version: int
    rows: int
    digest: int
    run_id: str
    writer: str
    published_at: str

    def holds(self, target: Target) -> bool:
        """Whether its documents, and all they inherit from the generation, are those of `target`."""
        mine = (self.as_of, self.model_version, self.rows, self.digest)
        return mine == (target.as_of, target.model_version, target.rows, target.digest)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one writer to publish: the fencing token is the generation that it took.

    `expires_at` is in seconds since the epoch. Clocks that disagree make a takeover early or late, never wrong: a
    writer that lost its lease cannot flip, and what it still writes belongs to a void generation.
    """

    writer: str
    generation: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Control:
    """The control record of a collection, replaced as a whole by compare-and-set on `revision`.

    Attributes:
        revision: counts the replacements.
        taken: the highest generation number ever taken; numbers are never used twice.
        published: the active generation, None before the first.
        before: the generation that a rollback returns to, None when there is none.
        clean: no document has been touched since the last flip or rollback.
        since: when the active generation became active by a flip or a rollback, ISO 8601, UTC.
        void: generations that no reader may see any more: abandoned, fenced out, or rolled back. Kept for good,
            because a writer that was fenced out may wake up at any time and write its documents still.
        lease: who publishes at present.
    """

    revision: int = 0
    taken: int = 0
    published: Generation | None = None
    before: Generation | None = None
    clean: bool = True
    since: str | None = None
    void: Ranges = ()
    lease: Lease | None = None

    @property
    def active(self) -> int | None:
        """Number of the generation that readers see."""
        return self.published.number if self.published else None

    @property
    def previous(self) -> int | None:
        """Number of the generation that a rollback returns to."""
        return self.before.number if self.before else None

    def is_void(self, generation: int) -> bool:
        """Whether what `generation` wrote is to be passed over."""
        return any(first <= generation <= last for first, last in self.void)


class Document(NamedTuple):
    """A stored document with its two slots; a text of None is a tombstone, a `prev_g` of None an empty slot.

    `prev` holds the value at `prev_g`, the generation that was active when `cur` was written.
    """

    entity: Entity
    cur_g: int
    cur: str | None
    prev_g: int | None
    prev: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A published value and where it comes from; what the document leaves out is the generation's."""

    entity: Entity
    value: dict[str, Any]
    as_of: str
    model_version: str
    generation: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to one read: all of it from the generation `control` calls active.

    `values` has the order of the question, with None for an entity that has no document. `control` is None when
    nobody ever published.
    """

    control: Control | None
    values: list[Found | None]


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publish did.

    Attributes:
        generation: the active generation afterwards.
        changed: documents inserted or updated.
        removed: documents that became tombstones.
        unchanged: documents that hold in the new generation what they held before.
        repaired: documents of void generations put right on the way.
        rows, digest: of the whole generation, as verified.
        seconds: wall time.
    """

    generation: int
    changed: int
    removed: int
    unchanged: int
    repaired: int
    rows: int
    digest: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Parity:
    """Every document of the active generation, counted and digested, against what the lake says."""

    generation: int | None
    rows: int
    digest: int
    expected_rows: int
    expected_digest: int

    @property
    def equal(self) -> bool:
        """Whether store and lake hold the same documents."""
        return (self.rows, self.digest) == (self.expected_rows, self.expected_digest)


def with_void(ranges: Ranges, generation: int) -> Ranges:
    """`ranges` and `generation`; neighbours are joined, so that a run retried all night adds one range."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted({*ranges, (generation, generation)}):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def check_entities(entities: Sequence[Entity]) -> None:
    """Refuse ids that a store could not keep apart or not keep at all.

    Raises:
        InputError: for anything but text that is valid Unicode and integers of 64 bits.
    """
    for kind in set(map(type, entities)):
        if kind is int:
            valid = all(-_INT64 <= entity < _INT64 for entity in entities if type(entity) is int)
        else:
            valid = kind is str and all(_encodes(entity) for entity in entities if type(entity) is str)
        if not valid:
            raise InputError(
                "An entity id must be an integer of 64 bits or valid Unicode text;"
                f" at least one {kind.__name__} among {len(entities)} is neither.",
                mend="Cast the entity's key in the SQL of the use case, or correct the request.",
            )


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
