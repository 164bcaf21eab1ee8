"""What a process holds in memory of a published collection, least recently used first to go.

Here: one entry and the cache with its bound in bytes. Not here: which entry still counts (collection.py).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

from serving_assets.store import Entity

T = TypeVar("T")

OVERHEAD = 400
"""Bytes that an entry costs beyond its content: key, tuple, numbers, its place in the ordered dictionary."""


class Version(NamedTuple):
    """A generation as readers know it. Numbers alone would repeat in a store that was emptied and filled anew."""

    number: int
    published_at: str
    as_of: str
    model_version: str


class Entry(NamedTuple, Generic[T]):
    """One id at one version.

    Attributes:
        version: the very object of the generation it was read from, so that `is` tells whether it still counts.
        content: what is kept of its document; None when there is none.
        as_of: the instant its prediction speaks of, seconds since the epoch; 0 without a document.
        size: of the content in bytes, about.
    """

    version: Version
    content: T | None
    as_of: float
    size: int


class Cache(Generic[T]):
    """Entries by id, bounded by `limit` bytes; 0 holds nothing."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._entries: OrderedDict[Entity, Entry[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, entity: Entity) -> Entry[T] | None:
        """The entry of `entity`, which is now the last to go."""
        entry = self._entries.get(entity)
        if entry is not None:
            self._entries.move_to_end(entity)
        return entry

    def put(self, entity: Entity, entry: Entry[T]) -> None:
        """Keep `entry`, and let go of the least recently used until all fit."""
        cost = _cost(entity, entry)
        self.drop(entity)
        if cost > self.limit:
            return
        self._entries[entity] = entry
        self.bytes += cost
        while self.bytes > self.limit and self._entries:
            gone, dropped = self._entries.popitem(last=False)
            self.bytes -= _cost(gone, dropped)

    def drop(self, entity: Entity) -> None:
        """Let go of `entity`, if it is here."""
        old = self._entries.pop(entity, None)
        if old is not None:
            self.bytes -= _cost(entity, old)


def _cost(entity: Entity, entry: Entry[T]) -> int:
    return OVERHEAD + entry.size + (4 * len(entity) if type(entity) is str else 0)  # up to four bytes a character
