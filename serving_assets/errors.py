"""The errors a user of the project can meet.

Here: the base class and the few kinds that callers distinguish. Not here: messages; they are written where the fault is
known.
"""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 2_000
"""Characters of a message; errors go into alerts and into Dagster's event log."""
LISTED = 5


def shortened(text: str, most: int = LONGEST) -> str:
    """The beginning of `text`, in at most `most` characters."""
    return text if len(text) <= most else f"{text[: max(most - 4, 0)]} ..."


def listed(values: Iterable[object], most: int = LISTED, *, by: str = ", ") -> str:
    """The first `most` of `values`, separated `by` a text, and how many more there are."""
    found = [str(value) for value in values]
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    return (by.join(found[:most]) or "none") + more


class ServingAssetsError(Exception):
    """Something a person must know: what went wrong, where, and how to fix it.

    Args:
        message: what was expected, what was found, and where.
        hint: the first thing to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = shortened(message)
        self.hint = shortened(hint)
        super().__init__(f"{self.message} {self.hint}".strip())


class DeclarationError(ServingAssetsError):
    """A declaration or SQL file of the catalog is wrong; found when it is loaded."""


class InputError(ServingAssetsError):
    """The input is unusable (missing, truncated, of the wrong shape). Permanent: a retry meets the same input."""


class RefusedInput(InputError):
    """The input failed a check and must not be read; `cause` names asset and check, as `raw/lines:volume`."""

    def __init__(self, message: str, *, hint: str = "", cause: str) -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


class ConflictError(ServingAssetsError):
    """Another writer was first; a retry may pass."""


class QueryError(ServingAssetsError):
    """An engine could not run a query.

    Attributes:
        reason: what went wrong, in the engine's words.
        out_of_memory: whether the query needed more memory than it may use.
    """

    def __init__(self, message: str, *, hint: str = "", reason: str = "", out_of_memory: bool = False) -> None:
        self.reason, self.out_of_memory = reason, out_of_memory
        super().__init__(message, hint=hint)
