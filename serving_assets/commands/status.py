"""`status`: the page that whoever is on call reads first.

Here: its screen. Not here: what it shows (pipeline/operations/status.py).
"""

from __future__ import annotations

from typing import Any

from rich.table import Table

from serving_assets.commands.screen import console


def print_status(state: dict[str, Any]) -> None:
    """The state of one use case as a screen."""
    console.print(f"[bold]{state['use_case']}[/]")
    if state["generation"] is None:
        console.print("  readers get   nothing yet: nothing has been published")
    else:
        console.print(
            f"  readers get   generation {state['generation']}, {state['documents']:,} predictions "
            f"as of {state['as_of']}, published {state['published_at']}"
        )
    console.print(f"  champion      {'version ' + state['champion'] if state['champion'] else 'none: train first'}")
    table = Table("stage", "newest", box=None, header_style="bold", padding=(0, 2))
    for stage, newest in state["stages"].items():
        table.add_row(stage, newest or "[dim]never[/]")
    console.print(table)
    for check in state["failing_checks"]:
        color = "red" if check["severity"] == "ERROR" else "yellow"
        console.print(f"  [{color}]{check['severity']}[/] {check['asset']} {check['check']}: {check['said']}")
    if not state["failing_checks"]:
        console.print("  [green]no check fails[/]")
