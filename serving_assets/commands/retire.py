"""`retire`: the end of a use case, and what of it is left.

Here: the command and its screen. Not here: the steps (pipeline/privacy/retire.py).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from serving_assets.commands.options import JsonOption, UseCaseArgument
from serving_assets.commands.screen import console, print_json, reported_errors

if TYPE_CHECKING:
    from serving_assets.pipeline.privacy.retire import Retirement

retire_app = typer.Typer(rich_markup_mode="rich")


@retire_app.command()
def retire(
    use_case: UseCaseArgument,
    reason: Annotated[str, typer.Option(help="Why, for later readers.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End a use case: cancel its queued runs, unpublish its predictions, and remove what no rollback needs any more.

    Works when its folder is already gone. Tables stay until ROLLBACK_DAYS have passed; then retention removes them.
    Safe to repeat. Removing the folder from the catalog stops its schedules: that is not done here.
    """
    from serving_assets.commands.rollback import who
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.privacy.retire import retire as end

    if not (yes or dry_run):
        typer.confirm(f"Unpublish everything of {use_case}?", abort=True)
    with reported_errors():
        workspace = Workspace()
        done = end(workspace.platform, workspace.instance, use_case, who(), reason=reason, dry_run=dry_run)
    print_json(asdict(done)) if as_json else _print(done, dry_run=dry_run)


def _print(done: Retirement, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    console.print(f"[bold]{done.use_case}[/]")
    for run in done.cancelled:
        console.print(f"  run {run} {would}cancelled", markup=False)
    for collection, documents in done.unpublished.items():
        console.print(f"  {documents:,} documents of {collection} {would}unpublished", markup=False)
    for found in done.removed:
        console.print(f"  {found.where} {would}removed: {found.files:,} files", markup=False)
    if done.kept:
        until = f"{done.removable_at:%Y-%m-%d %H:%M} UTC" if done.removable_at else ""
        console.print(
            f"  {len(done.kept)} tables stay for rollbacks; retention removes them after {until}", markup=False
        )
    if done.declared:
        console.print(f"  next: remove the folder of {done.use_case} from the catalog, and restart what has loaded it")
