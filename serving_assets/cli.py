"""The `serving-assets` command.

Here: the commands, their options and exit codes. Not here: what they do (commands/).

Exit codes: 0 done; 1 failed, with what, where and the fix on standard error; 2 wrong arguments.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from serving_assets.commands.alerts import alerts_app
from serving_assets.commands.backfills import backfills_app
from serving_assets.commands.keys import keys_app
from serving_assets.commands.on_call import on_call
from serving_assets.commands.options import DAY_FORMAT, EntityArgument, JsonOption, UseCaseArgument
from serving_assets.commands.screen import console, print_json, progress_bar, reported_errors

if TYPE_CHECKING:
    from serving_assets.local_runner.workspace import Workspace

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Raw tables to served predictions. "
    "Start with [bold]serving-assets demo[/], then look with [bold]status[/] and [bold]show[/].",
)
demo_app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
app.add_typer(demo_app, name="demo")
app.add_typer(keys_app, name="keys")
app.add_typer(on_call)
app.add_typer(alerts_app, name="alerts")
app.add_typer(backfills_app, name="backfills")


@demo_app.callback()
def demo(context: typer.Context) -> None:
    """Run a year of real grocery data, from raw files through every stage to a prediction that can be looked up.

    Everything runs through Dagster on the instance in DAGSTER_HOME, so that [bold]make ui[/] shows it afterwards.
    Called again, it continues where it stopped: days that have arrived since are landed, mapped, scored and published.
    """
    if context.invoked_subcommand is not None:
        return
    from serving_assets.commands.demo import run_demo

    with reported_errors():
        raise typer.Exit(run_demo())


@demo_app.command()
def land(
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=DAY_FORMAT, help="Oldest day to land; default: the data's first."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=DAY_FORMAT, help="Newest day to land; default: the newest that has arrived."),
    ] = None,
    ending: Annotated[
        datetime | None,
        typer.Option(
            formats=DAY_FORMAT,
            help="Move all dates by whole weeks so that the newest landed day is this one; default: yesterday.",
        ),
    ] = None,
    original_dates: Annotated[bool, typer.Option("--original-dates", help="Keep the dates of 2017.")] = False,
    promotions: Annotated[
        bool, typer.Option("--promotions", help="Also land the 20.9 million promotion rows.")
    ] = False,
) -> None:
    """Play the upstream systems: drop files of the real data into the landing zone.

    The first call decides by how many weeks the dates move, and remembers it there; later calls land what has arrived
    since.
    """
    from serving_assets.commands.demo import land_files, print_landed

    with reported_errors(), progress_bar() as bar:
        landed = land_files(
            bar, _day(first), _day(last), _day(ending), original_dates=original_dates, promotions=promotions
        )
    print_landed(landed)


@app.command()
def show(
    use_case: UseCaseArgument,
    entity: EntityArgument,
    as_json: JsonOption = False,
) -> None:
    """Show the published prediction of one entity, with its generation, as-of instant and model version.

    Exits with 1 when there is none: the entity is unknown, or its prediction has expired.
    """
    from serving_assets.commands.show import absence, as_record, look_up, print_predictions

    with reported_errors():
        workspace = _workspace()
        found = look_up(workspace, use_case, [entity])[0]
        spec = workspace.catalog.use_case(use_case).spec
        reason = absence(spec, found, entity)
        if as_json:
            print_json(as_record(found) if found and not reason else None)
        elif found and not reason:
            print_predictions([found], spec.entity.key)
        else:
            console.print(reason, markup=False)
        raise typer.Exit(1 if reason else 0)


@app.command()
def status(
    use_case: Annotated[str | None, typer.Argument(metavar="[USE_CASE]", help="One use case; default: all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show, by use case, the newest partition of each stage, what readers get, the champion, and failing checks.

    Exits with 1 when a check fails as an error, when the store is out of reach or has lost what readers get, or when
    a folder of the catalog is broken.
    """
    from serving_assets.commands.status import print_broken, print_status
    from serving_assets.pipeline.observing.status import gather

    with reported_errors():
        workspace = _workspace()
        names = [use_case] if use_case else sorted(workspace.catalog.use_cases)
        states = [
            gather(workspace.instance, workspace.platform, workspace.defs, workspace.catalog.use_case(name))
            for name in names
        ]
        broken = {} if use_case else workspace.catalog.broken
        if as_json:
            print_json([*states, *({"broken": folder, "error": str(error)} for folder, error in broken.items())])
        else:
            for state in states:
                print_status(state)
            print_broken(broken)
        failing = any(check["severity"] == "ERROR" for state in states for check in state["failing_checks"])
        lost = any(online["lost"] or online["unknown"] for state in states for online in state["online"].values())
        raise typer.Exit(1 if failing or lost or broken else 0)


@app.command()
def train(
    use_case: UseCaseArgument,
    through: Annotated[
        datetime | None,
        typer.Option(formats=DAY_FORMAT, help="Newest day that may be read; default: the newest there is."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a use case, measure it on held-out days, and make it champion if it passes the gate.

    Exits with 1 when training failed; a candidate that does not pass is no failure, and the champion stays.
    """
    from serving_assets.commands.train import print_training, run_training

    with reported_errors():
        workspace = _workspace()
        found = run_training(workspace, workspace.catalog.use_case(use_case), _day(through))
        if as_json:
            print_json(found)
        else:
            print_training(found)
        raise typer.Exit(1 if found["failures"] else 0)


@app.command()
def backfill(
    first: Annotated[datetime, typer.Option("--from", formats=DAY_FORMAT, help="Oldest day.")],
    last: Annotated[datetime, typer.Option("--to", formats=DAY_FORMAT, help="Newest day.")],
    use_case: Annotated[str | None, typer.Option(help="One use case; default: all.")] = None,
    only_tables: Annotated[
        bool, typer.Option("--only-tables", help="Stop after the raw and mapped tables, before there is a champion.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run every stage for a range of days: tables in large chunks, predictions day by day, publication once at the end.

    Safe to repeat: a day that is run again ends as if it had run once. A bad day fails alone; exits with 1 if any did.
    """
    from serving_assets.commands.backfill import print_summary, run_backfill, summary
    from serving_assets.lake import DayRange

    with reported_errors():
        workspace = _workspace()
        days = DayRange(first.date(), last.date())
        names = [use_case] if use_case else sorted(workspace.catalog.use_cases)
        cases = [workspace.catalog.use_case(name) for name in names]
        summaries = [summary(c.name, run_backfill(workspace, c, days, only_tables=only_tables)) for c in cases]
        if as_json:
            print_json(summaries)
        else:
            for found in summaries:
                print_summary(found)
        raise typer.Exit(1 if any(found["failed"] for found in summaries) else 0)


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to serve on; any but loopback needs API keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; each has its own cache.")] = 1,
) -> None:
    """Serve predictions over HTTP until SIGTERM or SIGINT; see [bold]/docs[/] on the server."""
    from serving_assets.commands.api import run_api

    with reported_errors():
        run_api(host, port, workers)


def _workspace() -> Workspace:
    """Open the workspace: only for commands that need it, because it imports Dagster, which the API must not."""
    from serving_assets.local_runner.workspace import Workspace

    return Workspace()


@app.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions, quarantined rows, tombstones and leftovers that no rollback needs, as every night."""
    from serving_assets.commands.retention import print_removed
    from serving_assets.pipeline.privacy.retention import retain

    with reported_errors():
        removed = retain(_workspace().platform, dry_run=dry_run)
        print_json([vars(found) for found in removed]) if as_json else print_removed(removed, dry_run=dry_run)


@app.command()
def forget(
    key: Annotated[str, typer.Argument(metavar="ENTITY_KEY", help="Name of the key, such as household_id.")],
    entity: Annotated[str, typer.Argument(metavar="VALUE", help="Key of the person.")],
    verify: Annotated[bool, typer.Option("--verify", help="Only look for what is left of an erased person.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: this cannot be undone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase one person from every version of every table and from the online store, and keep them from coming back.

    Ends the window for rollbacks of what held the person. Safe to repeat. With --verify, exits with 1 if anything is
    left; without, when the erasure could not be completed.
    """
    from serving_assets.commands import forget as command

    with reported_errors():
        if verify:
            left = command.left_of(_workspace(), key, entity)
            print_json([vars(found) for found in left]) if as_json else command.print_left(left)
            raise typer.Exit(1 if left else 0)
        if not yes:
            typer.confirm(f"Erase this {key} for good?", abort=True)
        request = command.forget(_workspace(), key, entity)
        print_json(command.receipt(request)) if as_json else command.print_receipt(request)


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None
