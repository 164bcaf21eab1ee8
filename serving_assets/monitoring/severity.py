"""How bad a finding is, in the one order that all rules share.

Here: the three words and their order. Not here: what they do to a run (pipeline/checks/verdict.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Severity = Literal["pass", "warn", "error"]
ORDER: tuple[Severity, ...] = ("pass", "warn", "error")


def above(measured: float, warn: float, error: float) -> Severity:
    """The severity of a number that is bad when it is high; a threshold itself is reached."""
    return "error" if measured >= error else "warn" if measured >= warn else "pass"


def worst(found: Iterable[Severity]) -> Severity:
    """The worst of several; `pass` of none."""
    return max(found, key=ORDER.index, default="pass")
