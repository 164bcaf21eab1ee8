"""What the parts of the conformance suite share: fixtures, example snapshots, and ways to disturb a store.

Here: nothing that needs to know which store it is. Not here: tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from serving_assets.store import Control, DocumentChange, OnlineStore
from tests.store.snapshots import snapshot

StoreFactory = Callable[[str], OnlineStore]
"""Opens the database of that name, empty at first; every call with a name is another handle on the same database."""

C = "purchase_propensity"
ONE = snapshot({1: 0.1, 2: 0.2, 3: 0.3})
TWO = snapshot({1: 0.1, 2: 0.25, 4: 0.4})
ALL: list[Any] = [1, 2, 3, 4]


class Rules:
    """The fixtures of every part; StoreConformance is all of them."""

    @pytest.fixture
    def store_factory(self) -> Iterator[StoreFactory]:
        raise NotImplementedError("a subclass says how to open its store")

    @pytest.fixture
    def store(self, store_factory: StoreFactory) -> OnlineStore:
        return store_factory("main")


@contextmanager
def control_once(store: OnlineStore, old: Control | None) -> Iterator[list[Control | None]]:
    """Make the next call of `store.control` answer `old`, as if it had been asked a while ago; yields all answers."""
    fresh = store.control
    answers: list[Control | None] = []

    def control(collection: str) -> Control | None:
        answers.append(fresh(collection) if answers else old)
        return answers[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "control", control)
        yield answers


def lose(store: OnlineStore, entity: int) -> None:
    """Make the store lose a document, with nothing but primitives: a tombstone that no protocol wrote, then removed."""
    store.upsert(C, 1, None, (), [DocumentChange(entity, None, None)])
    assert store.remove(C, 1, ()) == 1
