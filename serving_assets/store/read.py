"""The reader's side of the protocol: which slot of a document belongs to a generation, and reads that never mix two.

Here: the rule, and the loop that asks again when the reader's knowledge was too old. Not here: anything that writes.

A reader first learns which generation is active, then fetches documents; in between, others may publish. The rule of
`visible` finds the value at that generation as long as it exists, and says `Stale` when it does not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import orjson

from serving_assets.errors import ConflictError
from serving_assets.store.control_record import Control, Generation
from serving_assets.store.protocol import OnlineStore
from serving_assets.store.records import Document, Entity, Found, Reading, StoreError, check_entities

TOMBSTONE_GRACE_SECONDS = 3600.0
"""How long tombstones outlive the flip that made them useless. A read slower than half of it trusts no absence."""

ATTEMPTS = 50

REWRITE = "Publish again with rewrite, which writes every document anew."


class Stale(Exception):
    """The document has moved on by two generations: the reader must learn anew which one is active."""


def visible(document: Document, active: int, control: Control) -> str | None:
    """The text of `document` at generation `active`, None when it does not exist there.

    `cur` counts when it is not newer than `active` and not void. Otherwise `prev` does, the value at the generation
    `prev_g` that was active when `cur` was written. If `cur` is newer than `active`, that must be `active` itself:
    any other number says that the reader's `active` has been flipped away, or rolled back, before `cur` was written.

    Raises:
        Stale: neither slot holds the value at `active`.
    """
    void = control.is_void(document.cur_g)
    if document.cur_g <= active and not void:
        return document.cur
    if document.prev_g is None or document.prev_g == active or (document.prev_g < active and document.cur_g < active):
        return document.prev
    raise Stale


def read(store: OnlineStore, collection: str, entities: Sequence[Entity]) -> Reading:
    """Return the published values of `entities`, in their order, all from one generation.

    Raises:
        InputError: an id is neither text nor an integer of 64 bits.
        StoreError: the store cannot be read, or a document is damaged.
    """
    check_entities(entities)
    for _ in range(ATTEMPTS):
        control = store.control(collection)
        if control is None or control.published is None:
            return Reading(control, [None] * len(entities))
        began = time.monotonic()
        documents = store.documents(collection, list(dict.fromkeys(entities)))
        reading = answer(collection, control, documents, entities, time.monotonic() - began)
        if reading and (None not in reading.values or not was_lost(control, store.control(collection))):
            return reading
    raise restless(collection)


def answer(
    collection: str, control: Control, documents: dict[Entity, Document], entities: Sequence[Entity], seconds: float
) -> Reading | None:
    """What a reader that knows `control` answers, having waited `seconds` for `documents`; None: it must ask again."""
    if control.published is None or seconds > TOMBSTONE_GRACE_SECONDS / 2:
        return None
    try:
        return Reading(control, resolve(collection, control, control.published, documents, entities))
    except Stale:
        return None


def was_lost(known: Control, now: Control | None) -> bool:
    """Whether the store was emptied since `known` was read, so that an absent document says nothing."""
    return now is None or now.revision < known.revision


def restless(collection: str) -> StoreError:
    """The error of a reader that asked again and again."""
    return StoreError(
        f"{collection}: {ATTEMPTS} reads in a row met documents that belong to no generation known to be active.",
        hint=f"If this repeats while no publish runs, the store is damaged. {REWRITE}",
    )


def resolve(
    collection: str,
    control: Control,
    published: Generation,
    documents: dict[Entity, Document],
    entities: Sequence[Entity],
) -> list[Found | None]:
    """What a reader that knows `control` finds in `documents`, in the order of `entities`.

    Raises:
        Stale: at least one of them has moved on.
    """
    found: list[Found | None] = []
    shown: dict[int, bool] = {}  # by generation, whether its `cur` counts: there are few, and many documents
    for entity in entities:
        document = documents.get(entity)
        if document is None:
            found.append(None)
            continue
        generation, text = document[1:3]
        counts = shown.get(generation)
        if counts is None:
            counts = shown[generation] = generation <= published.number and not control.is_void(generation)
        if not counts:
            text = visible(document, published.number, control)
        found.append(None if text is None else _found(collection, published, entity, text))
    return found


def scan(store: OnlineStore, collection: str) -> Iterator[tuple[Entity, str]]:
    """Yield every document visible at the generation active when the scan begins, as `(entity, text)`, in any order.

    Raises:
        ConflictError: so much was published meanwhile that the generation is gone; scan again.
    """
    control = store.control(collection)
    if control is None or control.published is None:
        return
    active = control.published.number
    began = time.monotonic()
    shown: set[int] = set()  # generations whose `cur` counts: of a million documents nearly all
    try:
        for document in store.every_document(collection):
            entity, generation, text = document[:3]
            if generation not in shown:
                text = visible(document, active, control)
                if generation <= active and not control.is_void(generation):
                    shown.add(generation)
            if text is not None:
                yield entity, text
        if time.monotonic() - began > TOMBSTONE_GRACE_SECONDS / 2 and store.control(collection) != control:
            raise Stale
    except Stale:
        raise ConflictError(
            f"{collection}: while generation {active} was scanned, others were published and it is gone.",
            hint="Scan again.",
        ) from None


def _found(collection: str, published: Generation, entity: Entity, text: str) -> Found:
    try:
        fields = orjson.loads(text)
        value = fields["v"]
        as_of, model_version = (
            fields.get("as_of", published.as_of),
            fields.get("model_version", published.model_version),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{collection}: a document of generation {published.number} is damaged: {type(error).__name__}.",
            hint=REWRITE,
        ) from error
    return Found(entity, value, as_of, model_version, published.number)
