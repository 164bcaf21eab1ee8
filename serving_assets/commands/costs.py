"""`costs`: what a month has cost, by use case, asset and partition.

Here: the command and its tables. Not here: the adding up (pipeline/observing/costs.py).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from serving_assets.commands.options import JsonOption
from serving_assets.commands.screen import console, print_json, reported_errors

if TYPE_CHECKING:
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.observing.costs import Costs, Month
    from serving_assets.pipeline.prices import Prices

costs_app = typer.Typer(rich_markup_mode="rich")
SHOWN_PARTITIONS = 10


@costs_app.command()
def costs(
    month: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m"], metavar="YYYY-MM", help="In UTC; default: the current one.")
    ] = None,
    asset: Annotated[str | None, typer.Option(help="Only this asset's partitions, such as raw/transactions.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show CPU-seconds, peak memory, rows, bytes and money of a month, by use case, asset and partition.

    By the prices in the settings ([bold]PRICE_CPU_HOUR[/] and others). What failed before it was made is not counted.
    """
    from serving_assets.local_runner.workspace import Workspace
    from serving_assets.pipeline.observing.costs import month_of
    from serving_assets.pipeline.prices import Prices

    with reported_errors():
        workspace = Workspace()
        keys = _assets(workspace, asset)
        found = month_of(workspace.instance, keys, (month or datetime.now(UTC)).date())
        prices = Prices.of(workspace.platform.settings)
        if as_json:
            print_json(as_record(found, workspace, prices))
        else:
            _print(found, workspace, prices, asset)


def as_record(month: Month, workspace: Workspace, prices: Prices) -> dict[str, Any]:
    """What `costs --json` prints."""
    partitions: dict[str, dict[str, Any]] = {}
    for (asset, partition), spent in month.partitions.items():
        partitions.setdefault(asset, {})[partition or ""] = asdict(spent)
    return {
        "month": f"{month.first:%Y-%m}",
        "prices": asdict(prices),
        "total": asdict(month.total),
        "use_cases": {name: asdict(spent) for name, spent in month.of_use_cases(workspace.catalog).items()},
        "assets": {name: asdict(spent) for name, spent in month.of_assets().items()},
        "partitions": partitions,
    }


def _assets(workspace: Workspace, asset: str | None) -> list[Any]:
    from serving_assets.errors import InputError

    keys = workspace.defs.resolve_asset_graph().get_all_asset_keys()
    chosen = [key for key in keys if asset in (None, key.to_user_string())]
    if not chosen:
        raise InputError(f"There is no asset {asset}.", hint="serving-assets status lists them.")
    return chosen


def _print(month: Month, workspace: Workspace, prices: Prices, asset: str | None) -> None:
    from serving_assets.pipeline.observing.costs import ALL, dearest

    if not month.partitions:
        console.print(f"Nothing was made in {month.first:%Y-%m}.")
        return
    if asset is None:
        by_use_case = {**month.of_use_cases(workspace.catalog), ALL: month.total}
        _print_table(f"use case, {month.first:%Y-%m}", by_use_case, prices)
        _print_table("asset", month.of_assets(), prices)
    most = {f"{name} {day or ''}".strip(): spent for name, day, spent in dearest(month, asset, SHOWN_PARTITIONS)}
    _print_table("dearest partitions", most, prices)


def _print_table(what: str, rows: dict[str, Costs], prices: Prices) -> None:
    table = Table(what, box=None, header_style="bold", padding=(0, 2))
    for header in ("made", "CPU seconds", "peak MiB", "rows", "MiB", prices.currency):
        table.add_column(header, justify="right")
    for name, spent in rows.items():
        size = f"{spent.bytes / (1 << 20):,.1f}"
        numbers = (f"{spent.made:,.0f}", f"{spent.cpu_seconds:,.1f}", f"{spent.peak_memory_mib:,.0f}")
        table.add_row(name, *numbers, f"{spent.rows:,.0f}", size, f"{spent.money:,.4f}")
    console.print(table)
