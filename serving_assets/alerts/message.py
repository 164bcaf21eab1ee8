"""The text of a notice: what, where, since when, how severe, the owner, and what to do first.

Here: the facts in words, and the fields for machines, both bounded. Not here: the form that one channel needs
(channels/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template
from typing import Any

from serving_assets.alerts.lifecycle import days_text
from serving_assets.alerts.records import LONGEST_FINDING, TEST, Finding, Incident, Notice, Severity
from serving_assets.alerts.shell import Shell, this_shell, values_of
from serving_assets.errors import listed, shortened
from serving_assets.settings import Settings

LONGEST_MESSAGE = 2_000
LONGEST_FACT = 300
SHORTEST_WHAT = 200
MOST_PARTITIONS = 20
"""Ranges of failing days that a message lists, the newest ones."""
WHAT = "What"
SHELL = "Shell"
"""The fact that a reader pastes into a shell, and that is therefore never wrapped or escaped."""
WHOLE = (WHAT, SHELL, "See", "Runbook")
"""Facts that are of no use when they are cut, and the one that gets the space that the others leave."""

TITLES = {
    "opened": "{severity}",
    "worsened": "Worse, now {severity}",
    "repeated": "Still {severity}",
    "escalated": "Not acknowledged, {severity}",
    "acknowledged": "Acknowledged",
    "resolved": "Resolved",
    "test": "Test",
}


@dataclass(frozen=True)
class Links:
    """Where the UI and the runbooks are: addresses without a slash at their end; `runbooks` may be a local path.

    `shell` is where the commands of a runbook run; without it, messages do not describe it.
    """

    ui: str
    runbooks: str
    shell: Shell | None = None

    @classmethod
    def of(cls, settings: Settings) -> Links:
        """The addresses of these settings, and a shell on this machine."""
        return cls(settings.ui_url.rstrip("/"), settings.runbooks_url.rstrip("/"), this_shell(settings))

    def page(self, finding: Finding) -> str:
        """Address of what the finding is about."""
        return f"{self.ui}/{finding.page.lstrip('/')}"

    def runbook(self, finding: Finding) -> str:
        """Address of the page about this kind; of the list of all pages for a test."""
        return self.runbook_of("README" if finding.key.kind == TEST else finding.key.kind)

    def runbook_of(self, name: str) -> str:
        """Address of the page of that name."""
        return f"{self.runbooks}/{name}.md"


@dataclass(frozen=True)
class Message:
    """A notice in words: a line, the facts by their names, and all fields for machines.

    Title and facts have at most LONGEST_MESSAGE characters together, as text and as Markdown.
    """

    notice: Notice
    title: str
    facts: tuple[tuple[str, str], ...]
    fields: dict[str, Any]

    @property
    def text(self) -> str:
        """The facts, one a line."""
        return "\n".join(f"{name}: {fact}" for name, fact in self.facts)

    @property
    def markdown(self) -> str:
        """The same as a list, with links, for services that show more than text."""
        return _markdown(self.facts)


def message(notice: Notice, links: Links) -> Message:
    """Return the text of `notice`."""
    incident, finding = notice.incident, notice.incident.last
    values = values_of(incident)
    what = finding.key.kind.replace("_", " ")
    title = f"{TITLES[notice.kind].format(severity=_called(incident.severity))}: {finding.key.asset} {what}"
    facts = {
        WHAT: finding.message,
        "Where": f"{finding.key.asset}" + (f", {days}" if (days := days_text(incident)) else ""),
        "Since": f"{moment(incident.opened_at)}"
        + (f", {incident.evaluations} times" if incident.evaluations > 1 else ""),
        "Measured": _measured(finding),
        "Owner": listed(finding.owners),
        **_state(notice),
        **({} if notice.kind == "resolved" else {"First": Template(finding.first_step).safe_substitute(values)}),
        "See": links.page(finding),
        "Runbook": links.runbook(finding),
        "Incident": _incident(notice),
        **({} if notice.kind in ("resolved", "test") else _shell(links.shell, incident)),
    }
    shown = {name: fact if name in WHOLE else shortened(fact, LONGEST_FACT) for name, fact in facts.items() if fact}
    return Message(notice, title, _fitting(title, shown, finding.message), _fields(notice, links))


def _fitting(title: str, facts: Mapping[str, str], what: str) -> tuple[tuple[str, str], ...]:
    """The facts, with as much of `what` as fits into a message; without the shell where it alone is too long."""
    most = LONGEST_MESSAGE
    while True:
        found = {name: shortened(what, most) if name == WHAT else fact for name, fact in facts.items()}
        excess = len(title) + len(_markdown(found.items())) + 1 - LONGEST_MESSAGE
        if excess > 0 and most <= SHORTEST_WHAT:
            found.pop(SHELL, None)
        if excess <= 0 or most <= SHORTEST_WHAT:
            return tuple(found.items())
        most = max(min(most, len(what)) - excess, SHORTEST_WHAT)


def moment(at: datetime) -> str:
    """A time as in messages."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def number(value: float) -> str:
    """A number as in messages."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _markdown(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{name}**: {_marked(name, fact)}" for name, fact in facts)


def _marked(name: str, fact: str) -> str:
    if name == SHELL:
        return f"`{fact}`"
    if fact.startswith(("http://", "https://")):
        return f"[{fact}]({fact})"
    return re.sub(r"([\\*`<\[])", r"\\\1", " ".join(fact.split()))


def _called(severity: Severity) -> str:
    return "Error" if severity is Severity.ERROR else "Warning"


def _measured(finding: Finding) -> str:
    if finding.measured is None:
        return ""
    against = f", threshold {number(finding.threshold)}" if finding.threshold is not None else ""
    return number(finding.measured) + against


def _state(notice: Notice) -> dict[str, str]:
    incident: Incident = notice.incident
    note = f": {incident.note}" if incident.note else ""
    found = {}
    if incident.acknowledged_at is not None and notice.kind != "resolved":
        found["Acknowledged"] = f"by {incident.acknowledged_by}, {moment(incident.acknowledged_at)}{note}"
    if incident.resolved_at is not None:
        why = f"by {incident.resolved_by}" if incident.resolved_by else incident.resolution or "it passes again"
        found["Resolved"] = f"{why}, {moment(incident.resolved_at)}{note if incident.resolved_by else ''}"
    return found


def _incident(notice: Notice) -> str:
    incident = notice.incident
    if notice.kind in ("resolved", "test"):
        return str(incident.number)
    return f"{incident.number}; to acknowledge it: serving-assets alerts ack {incident.number}"


def _shell(shell: Shell | None, incident: Incident) -> dict[str, str]:
    """Where the commands of the runbook run, and what to paste there first."""
    if shell is None:
        return {}
    secrets = f"; export {', '.join(shell.secrets)} there first" if shell.secrets else ""
    return {"Host": f"{shell.host}{secrets}", SHELL: shell.of(incident)}


def _fields(notice: Notice, links: Links) -> dict[str, Any]:
    incident, finding = notice.incident, notice.incident.last
    failing = sorted(one.days for one in incident.failing if one.days.last)
    partitions = [{"first": days.first, "last": days.last} for days in failing]
    return {
        "event": notice.kind,
        "at": notice.at.isoformat(),
        "incident": incident.uid,
        "number": incident.number,
        "severity": "error" if incident.severity is Severity.ERROR else "warning",
        "use_case": finding.key.scope,
        "asset": finding.key.asset,
        "kind": finding.key.kind,
        "message": shortened(finding.message, LONGEST_FINDING),
        "partitions": partitions[-MOST_PARTITIONS:],
        "partitions_total": len(partitions),
        "measured": finding.measured,
        "threshold": finding.threshold,
        "owners": list(finding.owners)[:MOST_PARTITIONS],
        "opened_at": incident.opened_at.isoformat(),
        "acknowledged_by": incident.acknowledged_by or None,
        "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
        "resolved_by": incident.resolved_by or None,
        "resolution": incident.resolution or None,
        "note": incident.note or None,
        "first_step": shortened(finding.first_step, LONGEST_FACT),
        "page": links.page(finding),
        "runbook": links.runbook(finding),
        "shell": links.shell.of(incident) if links.shell else None,
    }
