"""`alerts`: open incidents, who has acknowledged them, and notices that could not be delivered.

Here: the commands, their options and screens. Not here: the life of an incident or the channels (alerts/), or what
looks for them (pipeline/observing/alert_sensor.py).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving_assets.commands.options import JsonOption
from serving_assets.commands.screen import console, print_json, reported_errors

if TYPE_CHECKING:
    from serving_assets.alerts.incident_store import IncidentStore
    from serving_assets.alerts.records import Incident, Silence

alerts_app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
NumberArgument = Annotated[int, typer.Argument(metavar="INCIDENT", help="Its number, as alerts shows it.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for later readers.")]


@alerts_app.callback()
def alerts(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Also resolved incidents.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what fails, since when, and who has acknowledged it; silences; and what could not be delivered.

    Exits with 1 when an error is open or a notice could not be delivered.
    """
    if context.invoked_subcommand is not None:
        return
    with reported_errors():
        result = gather(_book(), datetime.now(UTC), every=every)
    print_json(result) if as_json else _print(result)
    errors = any(one["severity"] == "ERROR" and not one["resolved_at"] for one in result["incidents"])
    raise typer.Exit(1 if errors or result["undelivered"] else 0)


@alerts_app.command()
def ack(incident: NumberArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Acknowledge an incident: it escalates no further, and is repeated only once a day."""
    with reported_errors():
        book = _book()
        taken = book.acknowledge(incident, _who(), reason, datetime.now(UTC))
        _deliver(book)
    _print_one(taken, f"acknowledged by {taken.acknowledged_by}.", as_json=as_json)


@alerts_app.command()
def resolve(incident: NumberArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Resolve an incident by hand; if it still fails, the next evaluation opens a new one."""
    with reported_errors():
        book = _book()
        over = book.resolve(incident, _who(), reason, datetime.now(UTC))
        _deliver(book)
    _print_one(over, f"resolved by {over.resolved_by}.", as_json=as_json)


@alerts_app.command()
def silence(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="An incident's number, a use case, an asset, or asset:check; * fits.")
    ],
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=24 * 30, help="After how long it ends.")],
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Suspend notices of it; what is still open when the silence ends is reported then."""
    with reported_errors():
        book, now = _book(), datetime.now(UTC)
        pattern = str(_incident(book, int(what)).key) if what.isdigit() else what
        made = book.silence(pattern, _who(), reason, now, now + timedelta(hours=hours))
    if as_json:
        print_json(_silence(made))
    else:
        console.print(f"{made.pattern} is silent until {_time(made.until)}; to end that earlier:", end=" ", emoji=False)
        console.print(f"serving-assets alerts unsilence {made.number}", markup=False, emoji=False)


@alerts_app.command()
def unsilence(
    number: Annotated[int, typer.Argument(metavar="SILENCE", help="Its number, as alerts shows it.")],
) -> None:
    """End a silence."""
    with reported_errors():
        ended = _book().unsilence(number, datetime.now(UTC))
    console.print(f"{ended.pattern} is no longer silent.", markup=False, emoji=False)


@alerts_app.command("test")
def try_owner(
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="As a use case declares it, such as team:shop.")],
    as_json: JsonOption = False,
) -> None:
    """Send a test message to every channel of an owner, and list which of them accepted it.

    Exits with 1 when one has not.
    """
    from serving_assets.alerts.config import read_config
    from serving_assets.alerts.trial import try_channels
    from serving_assets.settings import get_settings

    with reported_errors():
        settings = get_settings()
        config = read_config(settings.alerts_configuration)
        tried = try_channels(config, owner, _links(), datetime.now(UTC))
    if as_json:
        print_json(tried)
    else:
        for name, error in tried.items():
            console.print(f"  [{'red' if error else 'green'}]{name}[/]", end=" ")
            console.print(error or "accepted", markup=False, emoji=False)
    raise typer.Exit(1 if any(tried.values()) else 0)


def gather(book: IncidentStore, now: datetime, *, every: bool = False) -> dict[str, Any]:
    """Return what `alerts --json` prints."""
    looked_at = book.looked_at()
    return {
        "incidents": [_record(one) for one in book.incidents(also_resolved=every)],
        "silences": [_silence(one) for one in book.silences(now)],
        "undelivered": [
            {
                "channel": one.channel,
                "incident": one.notice.incident.number,
                "notice": one.notice.kind,
                "attempts": one.attempts,
                "given_up": one.state == "given up",
                "error": one.error,
            }
            for one in book.outbox.undelivered()
        ],
        "looked_at": looked_at,
        "is_looking": book.is_looking(now),
    }


def _record(incident: Incident) -> dict[str, Any]:
    from serving_assets.alerts.lifecycle import days_text

    last = incident.last
    return {
        "incident": incident.number,
        "severity": str(incident.severity),
        "use_case": incident.key.scope,
        "asset": incident.key.asset,
        "kind": incident.key.kind,
        "days": days_text(incident),
        "message": last.message,
        "measured": last.measured,
        "threshold": last.threshold,
        "owners": last.owners,
        "first_step": last.first_step,
        "opened_at": incident.opened_at,
        "notified": incident.notified,
        "acknowledged_by": incident.acknowledged_by or None,
        "resolved_at": incident.resolved_at,
        "resolved_by": incident.resolved_by or None,
        "resolution": incident.resolution or None,
        "note": incident.note or None,
    }


def _silence(silence: Silence) -> dict[str, Any]:
    return {**vars(silence)}


def _print(result: dict[str, Any]) -> None:
    for one in result["incidents"]:
        color = "green" if one["resolved_at"] else "red" if one["severity"] == "ERROR" else "yellow"
        state = "RESOLVED" if one["resolved_at"] else one["severity"]
        console.print(f"[bold]{one['incident']:>4}[/] [{color}]{state}[/] {one['asset']} {one['kind']}", end=" ")
        console.print(f"{one['days']} since {_time(one['opened_at'])}".strip(), markup=False, emoji=False)
        taken = f"acknowledged by {one['acknowledged_by']}" if one["acknowledged_by"] else ""
        for line in (one["message"], taken, "" if one["resolved_at"] else one["first_step"]):
            if line:
                console.print(f"     {line}", markup=False, emoji=False)
    if not result["incidents"]:
        console.print("[green]No incident is open.[/]")
    for one in result["silences"]:
        text = f"silent until {_time(one['until'])} by {one['author']}: {one['reason']}".rstrip(": ")
        console.print(f"  silence {one['number']}: {one['pattern']} is {text}", markup=False, emoji=False)
    for one in result["undelivered"]:
        console.print(f"  [red]not delivered[/] to {one['channel']} after {one['attempts']} attempts:", end=" ")
        console.print(f"{one['notice']} of incident {one['incident']}: {one['error']}", markup=False, emoji=False)
    if not result["is_looking"]:
        since = f"since {_time(result['looked_at'])}" if result["looked_at"] else "yet"
        console.print(f"[yellow]Alerts have not been evaluated {since}[/]: start dagster-daemon, which does it.")


def _print_one(incident: Incident, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_record(incident))
    else:
        console.print(f"{incident.number} {incident.key}: {text}", markup=False, emoji=False)


def _deliver(book: IncidentStore) -> None:
    """Deliver at once, unless the daemon is delivering: then it does so with its next evaluation.

    What goes to standard output is left to the daemon, whose log that is: here it would be taken for the answer.
    """
    from serving_assets.alerts.config import STDOUT, read_config
    from serving_assets.alerts.delivery import deliver
    from serving_assets.settings import get_settings

    with book.file.alone() as alone:
        if alone:
            deliver(book, read_config(get_settings().alerts_configuration), _links(), without=(STDOUT,))


def _book() -> IncidentStore:
    from serving_assets.alerts.alerts_file import AlertsFile
    from serving_assets.alerts.incident_store import IncidentStore
    from serving_assets.settings import get_settings

    return IncidentStore(AlertsFile(get_settings().alerts_file))


def _links() -> Any:
    from serving_assets.alerts.message import Links
    from serving_assets.settings import get_settings

    return Links.of(get_settings())


def _incident(book: IncidentStore, number: int) -> Incident:
    from serving_assets.alerts.records import AlertsError

    found = next((one for one in book.incidents() if one.number == number), None)
    if found is None:
        raise AlertsError(f"No incident {number} is open.", hint="serving-assets alerts lists those that are.")
    return found


def _who() -> str:
    from serving_assets.commands.rollback import who

    return who()


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
