"""The records that the online store's protocol speaks in.

Here: what a caller hands over, what a reader gets back, and the documents between. Not here: the control record
(control_record.py), what happens to them (read.py, publish.py) or how they are kept (one module per implementation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from serving_assets.errors import InputError, ServingAssetsError
from serving_assets.store.control_record import Control, Pin

Entity = int | str
"""The id of a document. Its type counts: `1` and `"1"` are two documents."""

_INT64 = 1 << 63


class StoreError(ServingAssetsError):
    """The online store is out of reach, damaged, or refuses what was asked; nothing a reader sees has changed."""


class DisagreementError(StoreError):
    """Store and lake disagree about what is published, so that writing the differences alone does not suffice."""


class PinnedError(ServingAssetsError):
    """A collection is pinned to its generation until `resume`; nothing was written."""

    def __init__(self, collection: str, active: int | None, pin: Pin) -> None:
        self.pin = pin
        why = f": {pin.reason}" if pin.reason else ", without a reason given"
        super().__init__(
            f"{collection} is pinned at generation {active} since {pin.at} by {pin.by}{why}.",
            hint="When the cause is fixed: serving-assets resume.",
        )


class DocumentChange(NamedTuple):
    """What one entity's document says in the published snapshot and in the target. `None`: there is no document.

    Both texts come from the lake. `old == new` writes nothing; such a change offers the document for verification.
    """

    entity: Entity
    old: str | None
    new: str | None


BareChange = tuple[Entity, str | None, str | None]
"""A DocumentChange, or the same without names: a publish handles millions, and a plain tuple costs a tenth."""


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
    was never published.
    """

    control: Control | None
    values: list[Found | None]

    @property
    def available(self) -> bool:
        """Whether a generation is active; if none is, `values` say nothing of any entity."""
        return self.control is not None and self.control.published is not None


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


def check_entities(entities: Sequence[Entity]) -> None:
    """Refuse ids that a store could not keep apart or not keep at all.

    Raises:
        InputError: for anything but text that is valid Unicode and integers of 64 bits.
    """
    for kind in set(map(type, entities)):
        if kind is int:
            numbers = [entity for entity in entities if type(entity) is int]
            valid = min(numbers) >= -_INT64 and max(numbers) < _INT64
        else:
            valid = kind is str and all(_encodes(entity) for entity in entities if type(entity) is str)
        if not valid:
            raise InputError(
                "An entity id must be an integer of 64 bits or valid Unicode text;"
                f" at least one {kind.__name__} among {len(entities)} is neither.",
                hint="Cast the entity's key in the SQL of the use case, or correct the request.",
            )


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
