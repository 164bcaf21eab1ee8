"""Persons that must be erased, known by keyed hashes alone: how a key is hashed, in Python and in SQL.

Here: the formula. Not here: where the hashes are kept (pipeline/privacy/erasure_register.py), or what is done about a
row.

The formula: SHA-256 in hexadecimal of `secret + 0x1f + name of the key + 0x1f + key`, an integer key in decimal.
Without the secret, trying all keys, of which there may be few, reveals nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from serving_assets.catalog.columns import literal

SEPARATOR = "\x1f"
PARAMETER = "$secret"


@dataclass(frozen=True)
class PersonHashes:
    """Some persons: the key by which their kind is known, and the hash of each one's."""

    key: str
    dtype: Literal["int64", "string"]
    hashes: frozenset[str]
    secret: str = field(repr=False)

    def hash(self, entity: int | str) -> str:
        """The hash of one key."""
        return sha256(SEPARATOR.join((self.secret, self.key, str(entity))).encode()).hexdigest()

    def among(self, entity: object) -> bool:
        """Whether `entity` is one of them; an id of another type is not."""
        typed = isinstance(entity, str) if self.dtype == "string" else type(entity) is int
        return typed and self.hash(entity) in self.hashes  # type: ignore[arg-type]  # just checked

    def condition(self, expressions: Iterable[str], secret: str = PARAMETER) -> str:
        """SQL that is true for rows of which one of `expressions`, of any type, is the key of one of them.

        `secret` is SQL, too: a parameter that the query is given, so that no error message can show it.
        """
        hashes = ", ".join(map(literal, sorted(self.hashes)))
        return "(" + " OR ".join(f"{self.hash_sql(each, secret)} IN ({hashes})" for each in expressions) + ")"

    def hash_sql(self, expression: str, secret: str = PARAMETER) -> str:
        """SQL of the hash of a key; null where `expression` is none."""
        text = f"TRY_CAST({expression} AS BIGINT)" if self.dtype == "int64" else expression
        parts = (secret, literal(self.key), f"CAST({text} AS VARCHAR)")
        return f"sha256({f' || chr({ord(SEPARATOR)}) || '.join(parts)})"
