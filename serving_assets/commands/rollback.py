"""`rollback` and `resume`: their screens.

Here: its screen, and the publish after a resume. Not here: the rest (pipeline/publishing/rollback.py).
"""

from __future__ import annotations

import getpass
import platform

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.commands.screen import console
from serving_assets.errors import ServingAssetsError
from serving_assets.local_runner import backfill_steps
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.publishing.rollback import RolledBack
from serving_assets.store import Pin


def who() -> str:
    """The user of this terminal."""
    return f"{getpass.getuser()}@{platform.node()}"


def publish_newest(workspace: Workspace, use_case: BoundUseCase) -> int:
    """Publish the newest predictions through Dagster; returns the generation that readers get then.

    Raises:
        ServingAssetsError: when the run failed.
    """
    outcome = backfill_steps.publish(workspace.defs, workspace.instance, use_case)
    if not outcome.success:
        raise ServingAssetsError(
            f"Publishing {use_case.name} failed: {'; '.join(outcome.failures)}",
            hint=f"Look at run {outcome.run_id} in the UI. Readers get what they got before.",
        )
    control = workspace.platform.store.control(use_case.name)
    assert control is not None
    assert control.active is not None
    return control.active


def print_rolled_back(result: RolledBack) -> None:
    """What was done, in which way and why, and how to end it."""
    if result.how == "nothing to do":
        console.print(f"[bold]{result.use_case}[/] stays at generation {result.generation}: {result.why}.")
    else:
        documents = f" with the documents of {result.documents_of}" if result.documents_of != result.generation else ""
        console.print(
            f"[bold]{result.use_case}[/]: generation {result.was} -> {result.generation}{documents}, "
            f"{result.how} in {result.seconds:.2f} s, because {result.why}."
        )
    console.print(
        f"  readers get   {result.rows:,} predictions as of {result.as_of}, model version {result.model_version}"
    )
    equal = "[green]the same, document by document[/]" if result.equal else "[red]different: serving-assets restore[/]"
    console.print(f"  store, lake   {equal}")
    console.print(f"  pinned        since {result.pin.at} by {result.pin.by}", end="")
    console.print(f": {result.pin.reason}" if result.pin.reason else "", markup=False)
    console.print(f"Nothing new is published until: [bold]serving-assets resume {result.use_case}[/]")


def print_resumed(use_case: str, pin: Pin | None, published: int | None) -> None:
    """Whether anything was pinned, and what happens next."""
    if pin is None:
        console.print(f"[bold]{use_case}[/] was not pinned.")
    else:
        console.print(f"[bold]{use_case}[/] is no longer pinned; it was since {pin.at} by {pin.by}.")
    if published is not None:
        console.print(f"Readers get generation {published}, the newest predictions.")
    elif pin is not None:
        console.print(
            "The next run of its online asset publishes the newest predictions; with --publish, this command."
        )
