"""`status`: the page that whoever is on call reads first.

Here: its screen. Not here: what it shows (pipeline/observing/status.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from serving_assets.commands.screen import console
from serving_assets.commands.train import failed_conditions
from serving_assets.errors import DeclarationError


def print_status(state: dict[str, Any]) -> None:
    """The state of one use case as a screen."""
    console.print(f"[bold]{state['use_case']}[/]")
    _print_alerts(state["alerts"])
    for asset, online in state["online"].items():
        _print_online(asset, online, state["use_case"])
    _print_champion(state)
    _print_failing(state["failing_checks"])
    for gap in state["lacks"]:
        color = {"given up": "red", "due": "yellow"}.get(gap["state"], "dim")
        console.print(f"  [{color}]{gap['state']}[/]", end=" ")
        console.print(gap["why"], markup=False)
    table = Table("stage", "newest", box=None, header_style="bold", padding=(0, 2))
    for stage, newest in state["stages"].items():
        table.add_row(stage, newest or "[dim]never[/]")
    console.print(table)
    _print_timeliness(state["timeliness"])


def print_broken(broken: Mapping[str, DeclarationError]) -> None:
    """The folders of the catalog that could not be loaded, a line each."""
    for folder, error in broken.items():
        console.print(f"[red]broken[/] {folder}:", end=" ")
        console.print(f"{error} See docs/runbooks/declaration_broken.md", markup=False)


def _print_alerts(alerts: dict[str, Any]) -> None:
    """Incidents, a line each, because `serving-assets alerts` tells more; and whether alerts themselves are well."""
    for one in alerts["incidents"]:
        color = "red" if one["severity"] == "ERROR" else "yellow"
        console.print(f"  [{color}]incident {one['incident']}[/] {one['asset']} {one['kind']}", end=" ")
        taken = f", taken by {one['taken_by']}" if one["taken_by"] else ", taken by nobody"
        console.print(f"{one['days']} since {one['since']}{taken}: {one['runbook']}".strip(), markup=False)
    if alerts["undelivered"]:
        said = f"{alerts['undelivered']} notices were not delivered"
        console.print(f"  [red]{said}[/]; look with: serving-assets alerts")
    if not alerts["is_looking"]:
        since = f"since {alerts['looked_at']}" if alerts["looked_at"] else "yet"
        console.print(f"  [yellow]nobody has looked for what goes wrong {since}[/]: {alerts['runbook']}")


def _print_failing(checks: list[dict[str, Any]]) -> None:
    for check in checks:
        color = "red" if check["severity"] == "ERROR" else "yellow"
        console.print(f"  [{color}]{check['severity']}[/] {check['asset']} {check['check']}", end=" ")
        console.print(f"{check['said']} See {check['runbook']}", markup=False)
    if not checks:
        console.print("  [green]no check fails[/]")


def _print_timeliness(found: list[dict[str, Any]]) -> None:
    """Three things that differ: made by the deadline, up to which day, and how new the rows are."""
    table = Table(
        "timely", "by its deadline", "newest day", "newest data", box=None, header_style="bold", padding=(0, 2)
    )
    for each in found:
        color = {"PASS": "green", "WARN": "yellow", "FAIL": "red"}.get(each["freshness"], "dim")
        due = f" {each['due']}" if each["due"] else ""
        behind = f", {each['days_behind']} behind" if each["days_behind"] else ""
        day = f"{each['newest_day']}{behind}" if each["newest_day"] else "[dim]none[/]"
        fresh = f"[{color}]{each['freshness'].lower().replace('_', ' ')}[/]{due}"
        table.add_row(each["asset"], fresh, day, each["newest_data"] or "[dim]none[/]")
    console.print(table)


def _print_champion(state: dict[str, Any]) -> None:
    if state["champion_unknown"]:
        console.print("  champion      [red]unknown[/]:", end=" ")
        console.print(f"{state['champion_unknown']} See {state['champion_runbook']}", markup=False)
    else:
        console.print(f"  champion      {'version ' + state['champion'] if state['champion'] else 'none: train first'}")
    training = state["training"]
    if training and not training["promoted"]:
        console.print(f"{'':<16}[yellow]version {training['candidate']} did not pass the gate[/] on {training['at']}:")
        for line in failed_conditions(training["conditions"]):
            console.print(f"{'':<18}{line}", markup=False)


def _print_online(asset: str, online: dict[str, Any], use_case: str) -> None:
    what = "predictions" if asset == "online" else asset.replace("_", " ")
    label = f"  {'readers get' if asset == 'online' else '':<14}"
    if online["unknown"]:
        console.print(f"{label}[red]{what} unknown[/]:", end=" ")
        console.print(f"{online['unknown']} See {online['runbook']}", markup=False)
        return
    if online["lost"]:
        console.print(
            f"{label}[red]no {what}: the store has lost generation {online['generation']}[/]; run: "
            f"serving-assets restore {use_case}; see {online['runbook']}"
        )
        return
    if online["generation"] is None:
        console.print(f"{label}no {what} yet: nothing has been published")
        return
    repeats = f" (documents of {online['documents_of']})" if online["documents_of"] != online["generation"] else ""
    console.print(
        f"{label}generation {online['generation']}{repeats}, {online['documents']:,} {what} "
        f"as of {online['as_of']}, active since {online['since']}"
    )
    if pin := online["pinned"]:
        why = f": {pin['reason']}" if pin["reason"] else ""
        console.print(f"{'':<16}[yellow]pinned[/] since {pin['at']} by {pin['by']}", end="")
        console.print(f"{why}; nothing new until: serving-assets resume {use_case}", markup=False)
    if lease := online["lease"]:
        state = "[yellow]is over and still holds[/]" if lease["stale"] else "holds"
        console.print(f"{'':<16}{lease['writer']} {state} the right to write, until {lease['until']}: ", end="")
        console.print(lease["runbook"], markup=False)
    if asset != "online":
        return
    back, earlier = online["one_write_rollback_to"], online["rollback_to"]
    way = f"in one write to generation {back}" if back else f"to generation {earlier}, published anew from the lake"
    said = "there is no older generation to roll back to" if earlier is None else f"a rollback leads back {way}"
    console.print(f"{'':<16}[dim]{said}[/]")
