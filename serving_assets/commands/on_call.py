"""The commands for incidents: rollback, resume, restore, trace, and those that only read.

Here: their options and exit codes; cli.py adds them to its own. Not here: what they do (pipeline/).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from serving_assets.commands.costs import costs_app
from serving_assets.commands.export import export_app
from serving_assets.commands.lineage import lineage_app
from serving_assets.commands.look import look
from serving_assets.commands.migrate import migrate_app
from serving_assets.commands.options import DAY_FORMAT, EntityArgument, JsonOption, UseCaseArgument
from serving_assets.commands.retire import retire_app
from serving_assets.commands.screen import print_json, reported_errors
from serving_assets.commands.validate import validate

on_call = typer.Typer(rich_markup_mode="rich")
on_call.add_typer(look)
on_call.add_typer(costs_app)
on_call.add_typer(migrate_app)
on_call.add_typer(export_app)
on_call.add_typer(retire_app)
on_call.add_typer(lineage_app)
on_call.command()(validate)
ReasonOption = Annotated[str, typer.Option(help="Why, for later readers.")]


@on_call.command()
def rollback(
    use_case: UseCaseArgument,
    to: Annotated[int | None, typer.Option(help="The generation to go back to; default: the one before.")] = None,
    to_date: Annotated[
        datetime | None, typer.Option(formats=DAY_FORMAT, help="Go back to what readers got at the end of this day.")
    ] = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give readers the predictions of an older generation again, at once, and pin them.

    One write where possible; otherwise the older snapshot is published anew from the lake. It prints which, and why.
    Pinned means that no run publishes anything new until [bold]resume[/]. Asks for nothing; may be repeated.
    """
    from serving_assets.commands.rollback import print_rolled_back, who
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.publishing.published_documents import predictions_of
    from serving_assets.pipeline.publishing.rollback import RollbackRequest, roll_back

    if to is not None and to_date is not None:
        raise typer.BadParameter("give either --to or --to-date")
    with reported_errors():
        workspace = Workspace()
        collection = predictions_of(workspace.catalog.use_case(use_case))
        request = RollbackRequest(who(), to, to_date.date() if to_date else None, reason)
        result = roll_back(workspace.platform, collection, request, lambda: workspace.instance)
        if as_json:
            print_json(asdict(result))
        else:
            print_rolled_back(result)


@on_call.command()
def resume(
    use_case: UseCaseArgument,
    publish: Annotated[bool, typer.Option("--publish", help="Publish the newest predictions now.")] = False,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """End a rollback: the next run publishes the newest predictions again.

    With --publish, exits with 1 when the publish fails; it is unpinned all the same.
    """
    from serving_assets.commands.rollback import print_resumed, publish_newest, who
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.publishing.published_documents import predictions_of
    from serving_assets.pipeline.publishing.rollback import resume as unpin

    with reported_errors():
        workspace = Workspace()
        bound = workspace.catalog.use_case(use_case)
        pin = unpin(workspace.platform, predictions_of(bound), who(), lambda: workspace.instance, reason)
        generation = publish_newest(workspace, bound) if publish else None
        if as_json:
            print_json({"use_case": use_case, "was_pinned": asdict(pin) if pin else None, "published": generation})
        else:
            print_resumed(use_case, pin, generation)


@on_call.command()
def restore(use_case: UseCaseArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Bring back from the lake what the online store has lost: all of it, a part, or the newest generations.

    Changes nothing when nothing is missing. Exits with 1 unless the store holds exactly what the lake has.
    """
    from serving_assets.commands.restore import print_restored
    from serving_assets.commands.rollback import who
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.publishing.restore import restore_all

    with reported_errors():
        workspace = Workspace()
        bound = workspace.catalog.use_case(use_case)
        result = restore_all(workspace.platform, bound, who(), lambda: workspace.instance, reason)
        if as_json:
            print_json([asdict(one) for one in result])
        else:
            for one in result:
                print_restored(one)
        raise typer.Exit(0 if all(one.parity.equal for one in result) else 1)


@on_call.command()
def trace(
    use_case: UseCaseArgument,
    entity: EntityArgument,
    at: Annotated[
        str | None, typer.Option(help="ISO 8601, local time of the use case unless it has an offset; default: now.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which prediction was served for an entity at a moment, from which generation, model, run and features.

    Exits with 1 when nothing was served then, or when the lake's history no longer has it.
    """
    from serving_assets.commands.show import entity_id
    from serving_assets.commands.trace import moment, print_trace
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.observing.prediction_provenance import trace as find_out

    with reported_errors():
        workspace = Workspace()
        bound = workspace.catalog.use_case(use_case)
        instant = moment(at, bound.domain.timezone)
        result = find_out(workspace.platform, bound, entity_id(bound.spec.entity, entity), instant)
        if as_json:
            print_json(asdict(result))
        else:
            print_trace(result)
        raise typer.Exit(0 if result.made else 1)
