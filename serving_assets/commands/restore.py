"""`restore`: its screen.

Here: its screen. Not here: the doing (pipeline/publishing/restore.py).
"""

from __future__ import annotations

from serving_assets.commands.screen import console
from serving_assets.pipeline.publishing.restore import Restored


def print_restored(result: Restored) -> None:
    """What was missing, what readers get now, and whether it equals the lake."""
    if result.why is None:
        console.print(f"[bold]{result.collection}[/]: nothing is missing from generation {result.generation}.")
    else:
        console.print(
            f"[bold]{result.collection}[/]: {result.why}; its documents are back as generation {result.generation}."
        )
    rows = f"{result.parity.rows:,} documents"
    console.print(
        f"  [green]{rows}, the same in store and lake[/]"
        if result.parity.equal
        else f"  [red]{rows} in the store, {result.parity.expected_rows:,} in the lake, and not the same[/]"
    )
    if result.pinned:
        console.print(f"  still pinned: serving-assets resume {result.use_case}")
