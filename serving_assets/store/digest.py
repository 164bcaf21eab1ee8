"""The digest that proves two sets of documents equal, whatever order they are read in.

Here: the formula, in Python and in DuckDB's SQL. Not here: who compares what with what (publish.py, and the lake's
side of parity).

The formula: the sum modulo 2**64, over all documents, of the first eight bytes (little-endian) of `md5(kind + entity
+ 0x1f + text)` in UTF-8, where kind is `i` for an integer id and `s` for any other. It proves against accidents, not
against an adversary.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import md5
from itertools import islice

from serving_assets.store.records import Entity

MODULUS = 1 << 64
AT_ONCE = 1_000


def document_digest(entity: Entity, text: str) -> int:
    """Digest of one document: an integer in [0, 2**64)."""
    return total_digest(((entity, text),))


def total_digest(documents: Iterable[tuple[Entity, str]]) -> int:
    """Digest of many documents: an integer in [0, 2**64), 0 for none."""
    total, stream = 0, iter(documents)
    while digests := b"".join(_digests(islice(stream, AT_ONCE))):
        # The first half of each digest, unpacked in bulk: with that a document takes 0.53 µs instead of 0.75.
        total += sum(struct.unpack(f"<{'Q8x' * (len(digests) // 16)}", digests))
    return total % MODULUS


def digest_sql(entity_column: str, text_column: str) -> str:
    """The same number as an aggregate in DuckDB's SQL: a UBIGINT, 0 over no rows.

    Both arguments are SQL expressions; the text must be a VARCHAR.
    """
    kind = f"CASE WHEN typeof({entity_column}) SIMILAR TO '.*(INT|INTEGER)' THEN 'i' ELSE 's' END"
    document = f"{kind} || CAST({entity_column} AS VARCHAR) || chr(31) || {text_column}"
    # md5_number_upper is the first half of the printed digest, read as a little-endian number.
    return f"CAST(coalesce(sum(md5_number_upper({document})), 0) % {MODULUS} AS UBIGINT)"


def _digests(documents: Iterable[tuple[Entity, str]]) -> list[bytes]:
    return [
        md5(f"{'i' if type(entity) is int else 's'}{entity}\x1f{text}".encode(), usedforsecurity=False).digest()
        for entity, text in documents
    ]
