"""The interface of an online store: the primitives that a database implements.

Here: what an implementation must guarantee. Not here: what is done with a store - reading (read.py), publishing
(publish.py), rollback and upkeep (maintain.py): functions that take any store.

A store keeps, per collection, one control record and one document per entity. The protocol needs no transaction over
several documents: each primitive states what must be atomic, and it is never more than one record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from serving_assets.store.control_record import Control, Ranges
from serving_assets.store.records import BareChange, Document, Entity


class OnlineStore(ABC):
    """A store of published values. Safe to share between threads, and by any number of processes.

    Every method may raise StoreError when the database is out of reach, damaged, full or locked for too long.
    """

    @abstractmethod
    def control(self, collection: str) -> Control | None:
        """The control record, as of its newest acknowledged replacement; None when there is none."""

    @abstractmethod
    def swap(self, collection: str, expected_revision: int, control: Control) -> bool:
        """Replace the control record if its revision is `expected_revision`, 0 standing for no record yet.

        One atomic, durable write; documents written before it, by anybody, are durable with it. Returns whether it
        was replaced.
        """

    @abstractmethod
    def collections(self) -> list[str]:
        """The names of all collections that have a control record, sorted."""

    @abstractmethod
    def documents(self, collection: str, entities: Sequence[Entity]) -> dict[Entity, Document]:
        """The stored documents of `entities`, those that exist. Each is read atomically; together they need not be."""

    @abstractmethod
    def every_document(self, collection: str) -> Iterator[Document]:
        """Every stored document once, in any order, in bounded memory."""

    @abstractmethod
    def upsert(
        self, collection: str, generation: int, base: int | None, void: Ranges, changes: Sequence[BareChange]
    ) -> None:
        """Write each change as `cur = (generation, new)` and `prev = (base, what is stored as the value at base)`.

        That value is the document's `cur` where `cur_g` is neither above `base` nor in `void`, its `prev` otherwise,
        and a tombstone where there is no document. It is never `old`: a writer that lost its lease long ago would
        bring that back.
        With no `base`, `prev` is an empty slot.

        Atomic per document. A document whose `cur_g` is greater than `generation` is left alone: a newer writer wrote
        it.
        """

    @abstractmethod
    def settle(self, collection: str, generation: int, base: int | None, void: Ranges) -> int:
        """Put documents of void generations right: `cur = (generation, prev)` and `prev = (base, prev)`.

        These are the documents whose `cur_g` is below `generation` and yet above `base` or in `void`; with no `base`,
        all whose `cur_g` is below `generation`. Atomic per document. Returns how many were written.
        """

    @abstractmethod
    def clear(self, collection: str, generation: int, base: int | None, void: Ranges) -> int:
        """Remove what `generation` has not written: `cur = (generation, tombstone)` and `prev = (base, cur)`.

        These are the documents whose `cur` is no tombstone and whose `cur_g` is neither above `base` nor in `void`;
        with no `base`, none. Atomic per document. Returns how many were written.
        """

    @abstractmethod
    def count(self, collection: str, generation: int, void: Ranges) -> int:
        """How many documents a reader would find if `generation` were active: `cur`, or `prev` where `cur` is void."""

    @abstractmethod
    def remove(self, collection: str, newest: int, void: Ranges) -> int:
        """Delete the documents whose `cur` is a tombstone with `cur_g <= newest` and not in `void`. Returns how many.

        Atomic per document: one that has meanwhile been written anew stays.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what this process holds open; a later call opens it again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
