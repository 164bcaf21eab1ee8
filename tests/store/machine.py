"""Any sequence of what can happen to a collection, checked by readers after every step.

Here: a model (what each published generation held, and which is active) beside the real store, and rules that drive
both.
Not here: assertions about counts, reports or messages; the rules have those.

Writers are stepped one batch at a time, so that any number of them are under way, are taken over, die, and write
late. Slow readers learn the active generation in one step and fetch their documents in others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule

from serving_assets.errors import ConflictError
from serving_assets.store import (
    Cause,
    Control,
    Document,
    DocumentChange,
    Entity,
    OnlineStore,
    Pin,
    PinnedError,
    Publication,
    StoreError,
    publish,
    remove_tombstones,
    rollback,
    scan,
    set_pin,
)
from serving_assets.store.read import Stale, resolve
from tests.store.snapshots import changes, seen, snapshot, target

C = "collection"
ENTITIES: tuple[Entity, ...] = (1, 2, "1")
SNAPSHOTS = st.dictionaries(st.sampled_from(ENTITIES), st.integers(0, 2), max_size=len(ENTITIES)).map(snapshot)
DAYS = st.sampled_from(["day 1", "day 2"])
PINNING = Cause("rollback", pin=Pin("somebody", "now", "because"))


@dataclass
class Writer:
    """A publication under way, and what it still has to write."""

    publication: Publication
    old: dict[Entity, str]
    new: dict[Entity, str]
    as_of: str
    todo: list[DocumentChange]
    all: list[DocumentChange]
    flipped_before_removal: int | None = None


@dataclass
class SlowReader:
    """A read that has learned the active generation and holds some of its documents."""

    control: Control
    removals: int
    documents: dict[Entity, Document] = field(default_factory=dict)
    asked: list[Entity] = field(default_factory=list)


class StoreMachine(RuleBasedStateMachine):
    """Drives two handles on one database: `store` for writers, `other` for readers."""

    writers: Bundle[Writer] = Bundle("writers")
    readers: Bundle[SlowReader] = Bundle("readers")

    def __init__(self, open_named: Callable[[str], OnlineStore], name: str) -> None:
        super().__init__()
        self.store, self.other = open_named(name), open_named(name)
        self.held: dict[int, dict[Entity, str]] = {}
        self.active: int | None = None
        self.previous: int | None = None
        self.clean = True
        self.holder: int | None = None
        self.exclusive = False
        self.removals = 0
        self.rolled_back: set[int | None] = set()
        self.pinned = False

    @property
    def now(self) -> dict[Entity, str]:
        """What readers must see."""
        return {} if self.active is None else self.held[self.active]

    @rule(new=SNAPSHOTS, as_of=DAYS, batch_rows=st.integers(1, 4), unchanged=st.booleans(), rewrite=st.booleans())
    def publish(self, new: dict[Entity, str], as_of: str, batch_rows: int, unchanged: bool, rewrite: bool) -> None:
        """A whole publish, which only a living holder of the lease may stop."""
        stream = changes(self.now, new, unchanged=unchanged or rewrite)
        put = partial(publish, self.store, C, stream, target(new, as_of=as_of), writer="publisher", rewrite=rewrite)
        if self.pinned or self.exclusive:
            with pytest.raises(PinnedError if self.pinned else ConflictError):
                put(batch_rows=batch_rows)
            return
        report = put(batch_rows=batch_rows)
        if report.generation != self.active:
            self.flipped(report.generation, new)

    @rule(target=writers, new=SNAPSHOTS, as_of=DAYS, exclusive=st.booleans(), unchanged=st.booleans())
    def begin(self, new: dict[Entity, str], as_of: str, exclusive: bool, unchanged: bool) -> Any:
        """A writer begins; its lease either lasts or has run out at once."""
        lease_seconds = 1000.0 if exclusive else 0.0
        if self.pinned or self.exclusive:
            with pytest.raises(PinnedError if self.pinned else ConflictError):
                Publication.begin(self.store, C, writer="another", lease_seconds=lease_seconds)
            return multiple()
        publication = Publication.begin(self.store, C, writer="writer", lease_seconds=lease_seconds)
        self.clean, self.holder, self.exclusive = False, publication.generation, exclusive
        every = changes(self.now, new, unchanged=unchanged)
        return Writer(publication, self.now, new, as_of, list(every), every)

    @rule(writer=writers, rows=st.integers(1, 4))
    def write(self, writer: Writer, rows: int) -> None:
        """A writer writes a batch, unless somebody took over."""
        if self.holder != writer.publication.generation:
            with pytest.raises(ConflictError):
                writer.publication.write(writer.todo[:rows])
            return
        writer.publication.write(writer.todo[:rows])
        del writer.todo[:rows]

    @rule(writer=writers)
    def finish(self, writer: Writer) -> None:
        """A writer writes the rest and flips, unless somebody took over."""
        goal = target(writer.new, as_of=writer.as_of)
        if self.holder != writer.publication.generation:
            with pytest.raises(ConflictError):
                writer.publication.flip(goal)
            return
        writer.publication.write(writer.todo)
        writer.publication.settle()
        writer.publication.verify(goal)
        writer.publication.flip(goal)
        self.flipped(writer.publication.generation, writer.new)
        writer.flipped_before_removal = self.removals

    @rule(writer=writers)
    def abandon(self, writer: Writer) -> None:
        """A writer gives up; one that was taken over has nothing to give back."""
        writer.publication.abandon()
        if self.holder == writer.publication.generation:
            self.holder, self.exclusive = None, False

    @precondition(lambda self: self.exclusive and not self.pinned)
    @rule()
    def die(self) -> None:
        """The holder of the lease dies; another takes over under its name, as a retry of the same run does."""
        dead = self.holder
        publication = Publication.begin(self.store, C, writer="writer", lease_seconds=0)
        assert publication.generation != dead
        self.holder, self.exclusive = publication.generation, False

    @rule(writer=writers, some=st.sets(st.sampled_from(ENTITIES), min_size=1))
    def write_late(self, writer: Writer, some: set[Entity]) -> None:
        """Writes of a writer that was taken over or has given up reach the store at any later time.

        Those of a writer that did flip have all been acknowledged: at most the network doubles one, and not after the
        grace period of the tombstones, unless the generation was rolled back.
        """
        about = writer.publication
        possible = about.generation in self.rolled_back or writer.flipped_before_removal in (None, self.removals)
        if self.holder != about.generation and possible:
            late = [change for change in writer.all if change.entity in some]
            self.store.upsert(C, about.generation, about.base, about.control.void, late)

    @rule(pin=st.booleans())
    def rollback(self, pin: bool) -> None:
        """A rollback is granted exactly when nothing was touched since the flip and there is a previous generation."""
        cause = PINNING if pin else Cause("rollback")
        if self.clean and self.previous is not None:
            rollback(self.store, C, cause=cause)
            self.rolled_back.add(self.active)
            self.active, self.previous, self.pinned = self.previous, None, pin
        else:
            with pytest.raises((ConflictError, StoreError)):
                rollback(self.store, C, cause=cause)

    @rule(new=SNAPSHOTS)
    def roll_back_further(self, new: dict[Entity, str]) -> None:
        """A rollback that republishes passes a pin, and pins anew."""
        put = partial(publish, self.store, C, changes(self.now, new), target(new), writer="rollback", cause=PINNING)
        if self.exclusive:
            with pytest.raises(ConflictError):
                put()
            return
        self.flipped(put().generation, new)
        self.pinned = True

    @precondition(lambda self: self.active is not None)
    @rule(pin=st.booleans())
    def set_pin(self, pin: bool) -> None:
        """A pin or its removal is one write that fences out whoever lost the lease, and waits for a living holder."""
        cause = PINNING if pin else Cause("resume")
        if self.exclusive:
            with pytest.raises(ConflictError):
                set_pin(self.store, C, cause)
            return
        set_pin(self.store, C, cause)
        self.pinned, self.holder = pin, None

    @rule()
    def remove_tombstones(self) -> None:
        """Retention runs, after all reads that began before the flip have ended."""
        remove_tombstones(self.store, C, grace_seconds=0)
        self.removals += 1

    @precondition(lambda self: self.active is not None)
    @rule(target=readers)
    def start_reading(self) -> Any:
        """A slow reader learns the active generation."""
        control = self.other.control(C)
        assert control
        return SlowReader(control, self.removals)

    @rule(held=readers, some=st.sets(st.sampled_from(ENTITIES), min_size=1))
    def go_on_reading(self, held: SlowReader, some: set[Entity]) -> None:
        """A slow reader fetches more documents: all it holds is of its generation, or it knows to ask again."""
        if held.removals != self.removals:
            return
        fresh = [entity for entity in some if entity not in held.asked]
        held.documents |= self.other.documents(C, fresh)
        held.asked += fresh
        published = held.control.published
        assert published
        try:
            values = resolve(C, held.control, published, held.documents, held.asked)
        except Stale:
            assert published.number != self.active or self.other.control(C) != held.control
            return
        expected = {e: t for e, t in self.held[published.number].items() if e in held.asked}
        assert {v.entity: snapshot({0: v.value["score"]})[0] for v in values if v} == expected

    @invariant()
    def every_read_agrees(self) -> None:
        """One id at a time, all ids at once, and a scan: all see the active generation and nothing else."""
        scores = seen(self.other, C, list(ENTITIES))
        assert snapshot(scores) == self.now
        for entity in ENTITIES:
            assert seen(self.store, C, [entity]) == ({entity: scores[entity]} if entity in scores else {})
        assert dict(scan(self.other, C)) == self.now
        control = self.other.control(C)
        assert (control and (control.active, control.previous, control.clean, bool(control.pinned))) == (
            control and (self.active, self.previous, self.clean, self.pinned)
        )

    def flipped(self, generation: int, new: dict[Entity, str]) -> None:
        """The model's flip."""
        self.held[generation] = new
        self.active, self.previous = generation, self.active
        self.clean, self.holder, self.exclusive, self.pinned = True, None, False, False

    def teardown(self) -> None:
        """Close both handles."""
        self.store.close()
        self.other.close()
