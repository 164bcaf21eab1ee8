"""The digest that proves two sets of documents equal, whatever order they are read in.

Here: the formula. Not here: who compares what with what (publication.py, maintain.py, and the lake's side in
pipeline/publishing/published_documents.py).

The formula: the sum modulo 2**64, over all documents, of XXH3-64 of the text in UTF-8, seeded with the id: an integer
modulo 2**64, or XXH3-64 of any other. It proves against accidents, not against an adversary. A document takes 0.12 µs;
with MD5 it took 0.65, here and in DuckDB alike, which was a third of a publish to SQLite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from xxhash import xxh3_64_intdigest

from serving_assets.store.records import Entity

MODULUS = 1 << 64
AT_ONCE = 10_000


def document_digest(entity: Entity, text: str) -> int:
    """Digest of one document: an integer in [0, 2**64)."""
    return columns_digest((entity,), (text,))


def total_digest(documents: Iterable[tuple[Entity, str]]) -> int:
    """Digest of many documents: an integer in [0, 2**64), 0 for none."""
    return count_and_digest(documents)[1]


def count_and_digest(documents: Iterable[tuple[Entity, str]]) -> tuple[int, int]:
    """How many documents there are, and their digest."""
    rows, digest, stream = 0, 0, iter(documents)
    while part := list(islice(stream, AT_ONCE)):
        entities, texts = zip(*part, strict=True)
        rows += len(part)
        digest += columns_digest(entities, texts)
    return rows, digest % MODULUS


def columns_digest(entities: Sequence[Entity], texts: Sequence[str]) -> int:
    """The same of documents in two columns: the ids, and the texts in their order."""
    seeds: Iterable[int] = (
        entities  # type: ignore[assignment]
        if set(map(type, entities)) == {int}
        else [entity if type(entity) is int else xxh3_64_intdigest(str(entity).encode()) for entity in entities]
    )
    # No Python code per document: XXH3 takes the seed modulo 2**64 by itself.
    return sum(map(xxh3_64_intdigest, map(str.encode, texts), seeds)) % MODULUS
