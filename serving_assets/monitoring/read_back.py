"""Canary: do a few known documents say what they should?

Here: the comparison, and the rule of two runs in a row. Not here: reading either side (pipeline/checks/read_back.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serving_assets.monitoring.severity import Severity


def missed(expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """The entities whose document is absent or says something else, in the order of `expected`."""
    return [
        {"entity": entity, "expected": document, "found": found.get(entity)}
        for entity, document in expected.items()
        if found.get(entity) != document
    ]


def canary_severity(misses: int, earlier: Iterable[bool]) -> Severity:
    """A miss warns, one in a second run in a row is an error; `earlier` says of each run before whether it missed."""
    if misses == 0:
        return "pass"
    return "error" if next(iter(earlier), False) else "warn"
