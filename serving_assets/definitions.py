"""The Dagster entry point: discover, build, merge.

Here: one line for Dagster to load. Not here: anything else.
"""

from __future__ import annotations

import dagster as dg

from serving_assets.pipeline.definitions import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that this workspace declares."""
    return build_defs()
