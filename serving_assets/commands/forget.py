"""`forget`: the erasure of one person, its receipt, and the proof that nothing is left.

Here: the order of question, erasure and receipt, and their screens. Not here: the erasure
(pipeline/privacy/erase_person.py).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from serving_assets.commands.screen import console
from serving_assets.commands.show import entity_id
from serving_assets.errors import InputError
from serving_assets.local_runner.workspace import Workspace
from serving_assets.pipeline.privacy import erase_person, erasure_register
from serving_assets.pipeline.privacy.erasure_register import ErasureRequest
from serving_assets.pipeline.privacy.find_person import Left


def forget(workspace: Workspace, key: str, text: str) -> ErasureRequest:
    """Enter the request, and carry it out if it is due; a repetition goes on where a killed one stopped."""
    platform = workspace.platform
    request = erasure_register.ask(platform, key, entity_id(erasure_register.entity_of(platform, key), text))
    if request.due_at > datetime.now(UTC):
        return request
    return erase_person.erase(platform, workspace.instance, [request])[0]


def left_of(workspace: Workspace, key: str, text: str) -> list[Left]:
    """What still names the person.

    Raises:
        InputError: when no request to erase this person exists.
    """
    platform = workspace.platform
    request = erasure_register.request_of(platform, key, entity_id(erasure_register.entity_of(platform, key), text))
    if request is None:
        raise InputError(f"No request to erase this {key} exists.", hint="Run the command without --verify first.")
    persons = erasure_register.subjects(platform, key, {request.subject})
    return erase_person.remains(platform, workspace.instance, key, persons)


def receipt(request: ErasureRequest) -> dict[str, Any]:
    """A request as plain values; it names no person."""
    return {name: value for name, value in asdict(request).items() if name != "secret_id"}


def print_receipt(request: ErasureRequest) -> None:
    """What was removed from where, or when it will be."""
    if request.erased_at is None:
        console.print(f"Entered. The legal delay ends {_moment(request.due_at)}; the nightly housekeeping erases then.")
        return
    console.print(f"[bold]Erased[/] {_moment(request.erased_at)}, requested {_moment(request.requested_at)}.")
    console.print(f"Receipt {request.subject}, which names no person without the secret.")
    table = Table("from", box=None, header_style="bold", padding=(0, 2))
    table.add_column("rows or documents", justify="right")
    for place, count in request.removed.items():
        table.add_row(place, f"{count:,}")
    console.print(table if request.removed else "There was nothing to remove.")


def print_left(left: list[Left]) -> None:
    """What a verification found."""
    if not left:
        places = "any table and its history, the online store, the prediction log and the event log"
        console.print(f"[green]Nothing is left[/] in {places}.")
        return
    for found in left:
        console.print(f"  [red]left[/] {found.count:,} {found.what} of {found.where}  [dim]{found.hint}[/]")


def _moment(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(sep=" ", timespec="seconds")
