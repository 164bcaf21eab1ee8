"""API keys created, listed and revoked, for the commands that do so.

Here: their records and screens. Not here: the commands (keys.py), or the file and its rules (serving/http/keys.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from serving_assets.catalog.discovery import load_catalog
from serving_assets.commands.screen import console
from serving_assets.errors import InputError
from serving_assets.serving.health import METRICS_SCOPE
from serving_assets.serving.http.keys import EVERYTHING, ApiKey, create_key, read_ring, revoke_key
from serving_assets.settings import get_settings


def make(client: str, scopes: list[str], rate: float | None, days: int | None) -> dict[str, Any]:
    """A new key for `client`, with the key itself.

    Raises:
        InputError: a scope is no use case.
        ConflictError: the client has two valid keys.
    """
    settings = get_settings()
    known = {*load_catalog(settings.catalog_dir).use_cases, METRICS_SCOPE, EVERYTHING}
    unknown = sorted(set(scopes) - known)
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such use case.", hint=f"Known: {', '.join(sorted(known))}.")
    key, secret = create_key(settings.api_keys_file, client, scopes, rate=rate, days=days)
    return {**_record(key), "key": secret}


def every() -> list[dict[str, Any]]:
    """Every key that was ever made, without its hash."""
    return [_record(key) for key in read_ring(get_settings().api_keys_file).keys]


def revoke(key_id: str) -> dict[str, Any]:
    """The key, now revoked.

    Raises:
        InputError: there is no such key.
    """
    return _record(revoke_key(get_settings().api_keys_file, key_id))


def print_made(made: dict[str, Any]) -> None:
    """The key, once."""
    console.print(f"[bold]{made['key']}[/]")
    console.print(
        f"Key {made['id']} of {made['client']} for {', '.join(made['scopes'])}. It is kept as a hash and is not shown"
        " again; send it as the header x-api-key.",
        markup=False,
    )


def print_keys(keys: list[dict[str, Any]]) -> None:
    """A table of keys."""
    table = Table("id", "client", "scopes", "a second", "created", "state", box=None, header_style="bold")
    for key in keys:
        rate = "any" if key["rate"] is None else f"{key['rate']:g}"
        table.add_row(key["id"], key["client"], ", ".join(key["scopes"]), rate, key["created"][:16], key["state"])
    console.print(table)


def _record(key: ApiKey) -> dict[str, Any]:
    state = "valid" if key.valid(datetime.now(UTC)) else "revoked" if key.revoked else "expired"
    return {**key.model_dump(mode="json", exclude={"hash"}), "state": state}
