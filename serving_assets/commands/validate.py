"""`validate`: what a team's CI calls before a change of the declarations is merged.

Here: the command and its screen. Not here: loading the catalog (catalog/discovery.py) or assembling the definitions
(pipeline/definitions.py).
"""

from __future__ import annotations

from typing import Any

import typer

from serving_assets.commands.options import JsonOption
from serving_assets.commands.screen import console, print_json, reported_errors


def validate(as_json: JsonOption = False) -> None:
    """Check every declaration, SQL file and the Dagster definitions they make, and report all that is broken.

    Reads no data and needs no server. Exits with 1 when anything is broken: call it in CI.
    """
    with reported_errors():
        found = _checked()
    if as_json:
        print_json(found)
    else:
        _print(found)
    raise typer.Exit(1 if found["broken"] else 0)


def _checked() -> dict[str, Any]:
    from serving_assets.catalog.discovery import open_catalog
    from serving_assets.pipeline.definitions import build_defs
    from serving_assets.settings import get_settings

    settings = get_settings()
    catalog = open_catalog(settings.catalog_dir)
    build_defs(settings, catalog).resolve_asset_graph()
    return {
        "catalog": str(catalog.root),
        "domains": sorted(catalog.domains),
        "tables": len(catalog.tables),
        "use_cases": sorted(catalog.use_cases),
        "broken": {folder: {"error": e.message, "hint": e.hint} for folder, e in sorted(catalog.broken.items())},
    }


def _print(found: dict[str, Any]) -> None:
    domains, use_cases = found["domains"], found["use_cases"]
    console.print(f"{found['catalog']}", markup=False, soft_wrap=True)
    console.print(f"  {len(domains)} domains with {found['tables']} tables: {', '.join(domains) or '-'}", markup=False)
    console.print(f"  {len(use_cases)} use cases: {', '.join(use_cases) or '-'}", markup=False)
    for folder, problem in found["broken"].items():
        console.print(f"[red]broken[/] {folder}")
        console.print(f"  {problem['error']} {problem['hint']}".rstrip(), markup=False, soft_wrap=True)
    if not found["broken"]:
        console.print("[green]Everything fits.[/]")
