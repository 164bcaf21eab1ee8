"""`retention`: what the nightly removal removed, or would remove, as a screen.

Here: its screen. Not here: the removal (pipeline/privacy/retention.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.filesize import decimal
from rich.table import Table

from serving_assets.commands.screen import console
from serving_assets.pipeline.privacy.retention import Removed


def print_removed(removed: Sequence[Removed], *, dry_run: bool) -> None:
    """One line a place, and the sum."""
    verb = "would be removed" if dry_run else "removed"
    if not removed:
        console.print(f"Nothing {verb}: everything is still wanted.")
        return
    table = Table("what", "where", box=None, header_style="bold", padding=(0, 2))
    for header in ("rows", "files", "size"):
        table.add_column(header, justify="right")
    for found in removed:
        size = decimal(found.bytes) if found.bytes else ""
        table.add_row(found.what, found.where, _number(found.rows), _number(found.files), size)
    console.print(table)
    rows, files = sum(found.rows for found in removed), sum(found.files for found in removed)
    total = decimal(sum(found.bytes for found in removed))
    console.print(f"[bold]{files:,}[/] files ({total}) and [bold]{rows:,}[/] rows and documents {verb}.")


def _number(count: int) -> str:
    return f"{count:,}" if count else ""
