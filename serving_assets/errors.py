"""The errors a user of the project can meet.

Here: the base class and the few kinds that callers tell apart. Not here: messages; they are written where the fault is
known.
"""

from __future__ import annotations


class ServingAssetsError(Exception):
    """Something a person must know: what went wrong, where, and how to fix it.

    Args:
        message: what was expected, what was found, and where.
        hint: the first thing to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} {hint}".strip())


class DeclarationError(ServingAssetsError):
    """A declaration or SQL file of the catalog is wrong; found when it is loaded."""


class InputError(ServingAssetsError):
    """The input is unusable (missing, truncated, of the wrong shape). Permanent: a retry meets the same input."""


class ConflictError(ServingAssetsError):
    """Another writer was first; a retry may pass."""
