"""The order of the queue: which runs start first.

Here: the priorities. Not here: the tag that carries one (pipeline/dagster_instance/tags.py).
"""

from __future__ import annotations

from enum import Enum


class Priority(Enum):
    """Who goes first in the queue; what has no priority, such as a backfill from the UI, stands at 0."""

    TABLES = 20
    DAILY = 10
    CATCH_UP = 5
    RESCORING = -5
    BACKFILL = -10
