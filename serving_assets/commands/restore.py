"""`restore`: its screen.

Here: what a person is told. Not here: the doing (pipeline/publishing/restore.py).
"""

from __future__ import annotations

from serving_assets.commands.screen import console
from serving_assets.pipeline.publishing.restore import Restored


def print_restored(told: Restored) -> None:
    """What was missing, what readers get now, and whether it is what the lake says."""
    if told.why is None:
        console.print(f"[bold]{told.collection}[/]: nothing is missing from generation {told.generation}.")
    else:
        console.print(
            f"[bold]{told.collection}[/]: {told.why}; its documents are back as generation {told.generation}."
        )
    rows = f"{told.parity.rows:,} documents"
    console.print(
        f"  [green]{rows}, the same in store and lake[/]"
        if told.parity.equal
        else f"  [red]{rows} in the store, {told.parity.expected_rows:,} in the lake, and not the same[/]"
    )
    if told.pinned:
        console.print(f"  still pinned: serving-assets resume {told.use_case}")
