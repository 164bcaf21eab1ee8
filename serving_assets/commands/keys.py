"""`keys`: create, list and revoke the keys of the API.

Here: the commands and their options. Not here: what they do (key_ring.py), which imports the catalog.
"""

from __future__ import annotations

from typing import Annotated

import typer

from serving_assets.commands.options import JsonOption
from serving_assets.commands.screen import print_json, reported_errors

keys_app = typer.Typer(no_args_is_help=True, help="Manage API keys: which clients may read which use cases.")


@keys_app.command("create")
def create_key(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="The client that will use it, such as web-shop.")],
    use_case: Annotated[list[str], typer.Option(help="Use case it opens, repeatable; metrics, or * for everything.")],
    rate: Annotated[float | None, typer.Option(min=0.01, help="Requests a second; default: no limit.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; default: never.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and print it, once. A client has at most two valid keys: create, deploy, revoke the old one."""
    from serving_assets.commands.key_ring import make, print_made

    with reported_errors():
        made = make(client, use_case, rate, days)
    print_json(made) if as_json else print_made(made)


@keys_app.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List every key ever made, and whether it is valid; never the keys themselves."""
    from serving_assets.commands.key_ring import every, print_keys

    with reported_errors():
        found = every()
    print_json(found) if as_json else print_keys(found)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As list shows it.")]) -> None:
    """Revoke a key; running servers follow within two seconds."""
    from serving_assets.commands.key_ring import print_keys, revoke

    with reported_errors():
        print_keys([revoke(key_id)])
