"""`status`: the state of a use case, to be read first in an incident.

Here: its screen. Not here: what it shows (pipeline/observing/status.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from serving_assets.commands.screen import console
from serving_assets.commands.train import failed_conditions
from serving_assets.errors import DeclarationError, listed


def print_status(state: dict[str, Any]) -> None:
    """The state of one use case as a screen."""
    console.print(f"[bold]{state['use_case']}[/]")
    _print_alerts(state["alerts"])
    for asset, online in state["online"].items():
        _print_online(asset, online, state["use_case"])
    _print_champion(state)
    _print_failing(state["failing_checks"])
    _print_runs(state["failed_runs"])
    for gap in state["gaps"]:
        color = {"given up": "red", "due": "yellow"}.get(gap["state"], "dim")
        console.print(f"  [{color}]{gap['state']}[/]", end=" ")
        console.print(gap["why"], markup=False)
    _print_columns(("stage", "newest"), [(stage, _moment(newest)) for stage, newest in state["stages"].items()])
    _print_timeliness(state["timeliness"])


def _print_columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Lines of columns that keep every name whole, however narrow the screen."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for index, row in enumerate((header, *rows)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        console.print(f"  {line}", style="bold" if not index else None, markup=False)


def _moment(text: str | None) -> str:
    """An ISO 8601 instant, `made` before it or not, as all screens show it; days stay days."""
    if text is None:
        return "never"
    made, _, instant = text.rpartition("made ")
    if len(instant) == len("2026-01-01"):
        return text
    at = datetime.fromisoformat(instant)
    return f"{'made ' if text != instant else made}{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _print_runs(runs: list[dict[str, Any]]) -> None:
    for one in runs:
        console.print(f"  [red]run failed[/] {one['run']} at {_moment(one['at'])}:", end=" ")
        console.print(listed(one["assets"]), markup=False)


def print_broken(broken: Mapping[str, DeclarationError]) -> None:
    """The folders of the catalog that could not be loaded, a line each."""
    for folder, error in broken.items():
        console.print(f"[red]broken[/] {folder}:", end=" ")
        console.print(f"{error} See docs/runbooks/declaration_broken.md", markup=False)


def _print_alerts(alerts: dict[str, Any]) -> None:
    """Incidents, a line each, because `serving-assets alerts` shows more; and whether alerts are evaluated."""
    for one in alerts["incidents"]:
        color = "red" if one["severity"] == "ERROR" else "yellow"
        console.print(f"  [{color}]incident {one['incident']}[/] {one['asset']} {one['kind']}", end=" ")
        taken = f", acknowledged by {one['taken_by']}" if one["taken_by"] else ", not acknowledged"
        console.print(f"{one['days']} since {_moment(one['since'])}{taken}: {one['runbook']}".strip(), markup=False)
    if alerts["undelivered"]:
        console.print(f"  [red]{alerts['undelivered']} notices were not delivered[/]; look with: serving-assets alerts")
    if not alerts["is_looking"]:
        if alerts["looked_at"]:
            console.print(f"  [yellow]alerts stopped at {_moment(alerts['looked_at'])}[/]: {alerts['runbook']}")
        else:
            console.print(f"  [dim]alerts begin when dagster-daemon runs: {alerts['runbook']}[/]")


def _print_failing(checks: list[dict[str, Any]]) -> None:
    for check in checks:
        color = "red" if check["severity"] == "ERROR" else "yellow"
        console.print(f"  [{color}]{check['severity']}[/] {check['asset']} {check['check']}", end=" ")
        days = f" Days: {listed(check['days'])}." if check["days"] else ""
        console.print(f"{check['message']}{days} See {check['runbook']}", markup=False)
    if not checks:
        console.print("  [green]no check fails[/]")


def _print_timeliness(found: list[dict[str, Any]]) -> None:
    """Three things that differ: made by the deadline, up to which day, and how new the rows are."""
    rows = []
    for each in found:
        due = f" {each['due']}" if each["due"] else ""
        behind = f", {each['days_behind']} behind" if each["days_behind"] else ""
        day = f"{each['newest_day']}{behind}" if each["newest_day"] else "none"
        newest = _moment(each["newest_data"]) if each["newest_data"] else "none"
        rows.append((each["asset"], f"{each['freshness'].lower().replace('_', ' ')}{due}", day, newest))
    _print_columns(("timely", "by its deadline", "newest day", "newest data"), rows)


def _print_champion(state: dict[str, Any]) -> None:
    if state["champion_unknown"]:
        console.print("  champion      [red]unknown[/]:", end=" ")
        console.print(f"{state['champion_unknown']} See {state['champion_runbook']}", markup=False)
    else:
        console.print(f"  champion      {'version ' + state['champion'] if state['champion'] else 'none: train first'}")
    training = state["training"]
    if training and not training["promoted"]:
        console.print(
            f"{'':<16}[yellow]version {training['candidate']} did not pass the gate[/] at {_moment(training['at'])}:"
        )
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
        f"as of {_moment(online['as_of'])}, active since {_moment(online['since'])}"
    )
    if pin := online["pinned"]:
        why = f": {pin['reason']}" if pin["reason"] else ""
        console.print(f"{'':<16}[yellow]pinned[/] since {_moment(pin['at'])} by {pin['by']}", end="")
        console.print(f"{why}; nothing new until: serving-assets resume {use_case}", markup=False)
    if lease := online["lease"]:
        state = "[yellow]is over and still holds[/]" if lease["stale"] else "holds"
        console.print(
            f"{'':<16}{lease['writer']} {state} the right to write, until {_moment(lease['until'])}: ", end=""
        )
        console.print(lease["runbook"], markup=False)
    if asset != "online":
        return
    back, earlier = online["one_write_rollback_to"], online["rollback_to"]
    way = f"in one write to generation {back}" if back else f"to generation {earlier}, published anew from the lake"
    way_back = "there is no older generation to roll back to" if earlier is None else f"a rollback leads back {way}"
    console.print(f"{'':<16}[dim]{way_back}[/]")
