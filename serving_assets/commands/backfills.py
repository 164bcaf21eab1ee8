"""`backfills`: look at backfills, pause one, resume one.

Here: the commands and their table. Not here: ordering one (`backfill`, backfill.py), or what a backfill is
(local_runner/backfill.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from serving_assets.commands.options import JsonOption
from serving_assets.commands.screen import console, print_json, reported_errors

if TYPE_CHECKING:
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.automation.backfill_record import Backfill

SHOWN = 20
SHOWN_FAILURES = 10
backfills_app = typer.Typer(
    invoke_without_command=True, rich_markup_mode="rich", help="List backfills, show one, pause or resume one."
)
BackfillArgument = Annotated[str, typer.Argument(metavar="BACKFILL", help="Its name, such as 3f2a9c1b.")]


@backfills_app.callback()
def backfills(context: typer.Context, as_json: JsonOption = False) -> None:
    """List backfills, newest first: days of tables and of predictions, days that failed, and the publication.

    A backfill that was killed is shown as interrupted; [bold]resume[/] goes on with it.
    """
    if context.invoked_subcommand is not None:
        return
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.automation.backfill_record import all_backfills

    with reported_errors():
        workspace = Workspace()
        found = [state_of(workspace, each) for each in all_backfills(workspace.view)[:SHOWN]]
    print_json(found) if as_json else print_table(found)


@backfills_app.command()
def show(backfill: BackfillArgument, as_json: JsonOption = False) -> None:
    """Show one backfill, with the days that failed and their runs."""
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.automation.backfill_record import backfill_of

    with reported_errors():
        workspace = Workspace()
        found = state_of(workspace, backfill_of(workspace.view, backfill))
    print_json(found) if as_json else print_one(found)


@backfills_app.command()
def pause(backfill: BackfillArgument) -> None:
    """Stop a running backfill when its current run has ended; finished days stay."""
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.automation.backfill_record import pause as ask

    with reported_errors():
        ask(Workspace().view, backfill)
    console.print(f"Backfill {backfill} stops after its present run.")
    console.print(f"Go on with: serving-assets backfills resume {backfill}")


@backfills_app.command()
def resume(backfill: BackfillArgument, as_json: JsonOption = False) -> None:
    """Continue a backfill that was paused or killed, and try failed days again. Exits with 1 if any fails."""
    from serving_assets.commands.backfill import go_on, print_summary, summary
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.automation.backfill_record import backfill_of

    with reported_errors():
        workspace = Workspace()
        ordered = backfill_of(workspace.view, backfill)
        found = summary(ordered.use_case, go_on(workspace, ordered))
        print_json(found) if as_json else print_summary(found)
        raise typer.Exit(1 if found["failed"] else 0)


def state_of(workspace: Workspace, backfill: Backfill) -> dict[str, Any]:
    """A backfill in plain values."""
    from serving_assets.pipeline.automation.backfill_record import progress_of

    progress = progress_of(workspace.view, backfill.id)
    return {
        "backfill": backfill.id,
        "use_case": backfill.use_case,
        "first": backfill.first,
        "last": backfill.last,
        "state": backfill.state,
        "ordered_at": backfill.ordered_at,
        "days": len(backfill.days),
        "only_tables": backfill.only_tables,
        "tables": len(progress.tables),
        "scored": len(progress.scored),
        "failed": {str(day): run for day, run in sorted(progress.failed.items())},
        "published": progress.published,
        "seconds": round(progress.seconds, 1),
    }


def print_table(found: list[dict[str, Any]]) -> None:
    """All of them, a line each."""
    if not found:
        console.print("There is no backfill yet.")
        return
    table = Table("backfill", "use case", "days", "state", box=None, header_style="bold", padding=(0, 2))
    for header in ("tables", "scored", "failed", "published", "seconds"):
        table.add_column(header, justify="right")
    for each in found:
        table.add_row(each["backfill"], each["use_case"], f"{each['first']}..{each['last']}", *_numbers(each))
    console.print(table)


def _numbers(each: dict[str, Any]) -> list[str]:
    color = {"running": "green", "interrupted": "red", "paused": "yellow"}.get(each["state"], "dim")
    failed = f"[red]{len(each['failed'])}[/]" if each["failed"] else "0"
    scored = "-" if each["only_tables"] else f"{each['scored']}/{each['days']}"
    published = "yes" if each["published"] else "-" if each["only_tables"] else "no"
    tables = f"{each['tables']}/{each['days']}"
    return [f"[{color}]{each['state']}[/]", tables, scored, failed, published, f"{each['seconds']:.0f}"]


def print_one(each: dict[str, Any]) -> None:
    """One of them, with its failures."""
    print_table([each])
    for day, run in list(each["failed"].items())[:SHOWN_FAILURES]:
        console.print(f"  [red]failed[/] {day} (run {run[:8]})")
    if (more := len(each["failed"]) - SHOWN_FAILURES) > 0:
        console.print(f"  and {more} days more; --json lists all")
