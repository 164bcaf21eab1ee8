"""Read-back: do a few known documents hold what they should?

Here: the comparison, and the rule of two runs in a row. Not here: reading either side (pipeline/checks/read_back.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serving_assets.monitoring.severity import Severity


def missed(expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """The entities whose document is absent or differs, in the order of `expected`."""
    return [
        {"entity": entity, "expected": document, "found": found.get(entity)}
        for entity, document in expected.items()
        if found.get(entity) != document
    ]


def read_back_severity(misses: int, earlier: Iterable[bool]) -> Severity:
    """A miss warns, in a second run in a row it is an error; `earlier`: whether runs before missed, newest first."""
    if misses == 0:
        return "pass"
    return "error" if next(iter(earlier), False) else "warn"
