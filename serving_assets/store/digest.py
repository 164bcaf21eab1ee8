"""The digest that proves two sets of documents equal, whatever order they are read in.

Here: the formula, in Python and in DuckDB's SQL. Not here: who compares what with what (publish.py, and the lake's
side of parity).

The formula: the sum modulo 2**64, over all documents, of the first eight bytes (little-endian) of `md5(kind + entity
+ 0x1f + text)` in UTF-8, where kind is `i` for an integer id and `s` for any other. It proves against accidents, not
against an adversary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import md5

from serving_assets.store.records import Entity

MODULUS = 1 << 64


def document_digest(entity: Entity, text: str) -> int:
    """Digest of one document: an integer in [0, 2**64)."""
    return total_digest(((entity, text),))


def total_digest(documents: Iterable[tuple[Entity, str]]) -> int:
    """Digest of many documents: an integer in [0, 2**64), 0 for none."""
    return sum(_digests(documents)) % MODULUS


def digest_sql(entity_column: str, text_column: str) -> str:
    """The same number as an aggregate in DuckDB's SQL: a UBIGINT, 0 over no rows.

    Both arguments are SQL expressions; the text must be a VARCHAR.
    """
    kind = f"CASE WHEN typeof({entity_column}) SIMILAR TO '.*(INT|INTEGER)' THEN 'i' ELSE 's' END"
    document = f"{kind} || CAST({entity_column} AS VARCHAR) || chr(31) || {text_column}"
    # md5_number_upper is the first half of the printed digest, read as a little-endian number.
    return f"CAST(coalesce(sum(md5_number_upper({document})), 0) % {MODULUS} AS UBIGINT)"


def _digests(documents: Iterable[tuple[Entity, str]]) -> Iterator[int]:
    for entity, text in documents:
        document = f"{'i' if type(entity) is int else 's'}{entity}\x1f{text}"
        yield int.from_bytes(md5(document.encode(), usedforsecurity=False).digest()[:8], "little")
