"""The control record: which generation readers see, who publishes, and what became of the generations before.

Here: the record, its parts, and how it changes when a generation becomes active. Not here: when that happens
(publication.py, maintain.py), or documents (records.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

Ranges = tuple[tuple[int, int], ...]
"""Closed, ascending, disjoint ranges of generation numbers."""

ACTIVATIONS_KEPT = 3
"""Each run hands what it finds here to the lake's log before it publishes, so a few outlive any chain of kills."""

NUMBERS_LEFT_OUT = 100
"""After a loss: writers of the lost store may have taken numbers that were not recorded, and may still write."""


@dataclass(frozen=True, slots=True)
class PublishTarget:
    """What a new generation must hold in total.

    Attributes:
        as_of: the instant the predictions speak of, ISO 8601.
        model_version: the model that made them.
        snapshot_version: the lake version of the table that is published.
        rows: number of documents.
        digest: order-independent digest of all documents, see digest.py.
        run_id: the run that publishes.
        form: names the way in which the snapshot is made into documents.
    """

    as_of: str
    model_version: str
    snapshot_version: int
    rows: int
    digest: int
    run_id: str
    form: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """A published generation: what it holds, who published it, and when it was flipped in (ISO 8601, UTC).

    `repeats` is the generation whose documents it brought back, None for one that was new. `form` names the way in
    which the snapshot was made into documents; '' for one that is unknown.
    """

    number: int
    as_of: str
    model_version: str
    snapshot_version: int
    rows: int
    digest: int
    run_id: str
    writer: str
    published_at: str
    repeats: int | None = None
    form: str = ""

    def holds(self, target: PublishTarget) -> bool:
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
class Pin:
    """Who keeps the active generation from being replaced, since when (ISO 8601, UTC), and why."""

    by: str
    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the control record changes what readers get, or may get.

    Attributes:
        kind: `publish` brings something new; `rollback` and `restore` bring back what was published before; `resume`
            unpins, and leaves the active generation as it is; `retire` leaves no document.
        by: the person or run behind it.
        reason: in that person's words; empty where none was given.
        repeats: the generation whose documents are brought back by a new one.
        pin: what to pin the collection with from then on; None leaves it unpinned.
    """

    kind: Literal["publish", "rollback", "restore", "resume", "retire"]
    by: str = ""
    reason: str = ""
    repeats: int | None = None
    pin: Pin | None = None


RETIRE: Final = "retire"
"""The kind of the activation that left a collection without documents."""
PUBLISH = Cause("publish")
ROLLBACK = Cause("rollback")


@dataclass(frozen=True, slots=True)
class Activation:
    """One entry of what became of a collection: from `at` (ISO 8601, UTC) on, readers get `generation`."""

    generation: Generation
    at: str
    kind: str
    by: str
    reason: str


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
        pinned: set by a rollback: nothing but another rollback may replace the active generation.
        activations: the newest few, newest last, until the lake has recorded them.
    """

    revision: int = 0
    taken: int = 0
    published: Generation | None = None
    before: Generation | None = None
    clean: bool = True
    since: str | None = None
    void: Ranges = ()
    lease: Lease | None = None
    pinned: Pin | None = None
    activations: tuple[Activation, ...] = ()

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

    def next_moment(self) -> str:
        """The present (ISO 8601, UTC, microseconds), and later than all that happened before, whatever clocks say."""
        now = datetime.now(UTC)
        if self.activations:
            now = max(now, datetime.fromisoformat(self.activations[-1].at) + timedelta(microseconds=1))
        return now.isoformat(timespec="microseconds")

    def noted(self, generation: Generation, cause: Cause, at: str) -> Control:
        """This record with one more activation, pinned or not as `cause` says."""
        activation = Activation(generation, at, cause.kind, cause.by or generation.writer, cause.reason)
        kept = (*self.activations, activation)[-ACTIVATIONS_KEPT:]
        return replace(self, activations=kept, pinned=cause.pin)

    def beyond(self, highest_known_generation: int) -> Control:
        """This record, continued behind `highest_known_generation`, up to which a lost store had used numbers.

        Whatever took a number that this record does not know of is void.
        """
        if highest_known_generation <= self.taken:
            return self
        last = highest_known_generation + NUMBERS_LEFT_OUT
        return replace(self, taken=last, void=with_void(self.void, self.taken + 1, last))

    @classmethod
    def from_record(cls, fields: Mapping[str, Any]) -> Control:
        """The record that `dataclasses.asdict` took apart.

        Raises:
            TypeError, KeyError, ValueError: the fields are not those of a record.
        """
        parts = {"published": Generation, "before": Generation, "lease": Lease, "pinned": Pin}
        whole = dict(fields)
        for name, kind in parts.items():
            whole[name] = kind(**whole[name]) if whole.get(name) else None
        whole["void"] = tuple((first, last) for first, last in whole["void"])
        whole["activations"] = tuple(
            Activation(**{**entry, "generation": Generation(**entry["generation"])})
            for entry in whole.get("activations", ())
        )
        return cls(**whole)


def with_void(ranges: Ranges, first: int, last: int | None = None) -> Ranges:
    """`ranges` and the generations from `first` to `last`, by default `first` alone.

    Neighbours are joined, so that a run retried all night adds one range.
    """
    joined: list[tuple[int, int]] = []
    for start, end in sorted({*ranges, (first, first if last is None else last)}):
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
