"""How bad a finding is, in the one order that all rules share.

Here: the three words and their order. Not here: what they do to a run (pipeline/checks/verdict.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

Severity = Literal["pass", "warn", "error"]
ORDER: tuple[Severity, ...] = ("pass", "warn", "error")


def above(measured: float, warn: float, error: float) -> Severity:
    """The severity of a number that is bad when it is high; a threshold itself is reached, whatever the rounding."""
    return "error" if _reaches(measured, error) else "warn" if _reaches(measured, warn) else "pass"


def _reaches(measured: float, threshold: float) -> bool:
    return measured >= threshold or math.isclose(measured, threshold, rel_tol=1e-9)


def worst(found: Iterable[Severity]) -> Severity:
    """The worst of several; `pass` of none."""
    return max(found, key=ORDER.index, default="pass")
