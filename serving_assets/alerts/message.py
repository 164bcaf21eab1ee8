"""What a notice says: what, where, since when, how bad, whose it is, and what to do first.

Here: the words, and the fields for machines. Not here: the shape that one channel wants (channels/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template
from typing import Any

from serving_assets.alerts.lifecycle import days_text
from serving_assets.alerts.records import Finding, Incident, Notice, Severity
from serving_assets.alerts.shell import Shell, this_shell, values_of
from serving_assets.settings import Settings

SHELL = "Shell"
"""The fact that a reader pastes into a shell, and that is therefore never wrapped or escaped."""

TITLES = {
    "opened": "{severity}",
    "worsened": "Worse, now {severity}",
    "repeated": "Still {severity}",
    "escalated": "Nobody has taken this {severity}",
    "acknowledged": "Taken",
    "resolved": "Over",
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
        """Address of the page that tells what to do about this kind."""
        return self.runbook_of(finding.key.kind)

    def runbook_of(self, name: str) -> str:
        """Address of the page of that name."""
        return f"{self.runbooks}/{name}.md"


@dataclass(frozen=True)
class Message:
    """A notice in words: a line, the facts by their names, and everything for machines."""

    notice: Notice
    title: str
    facts: tuple[tuple[str, str], ...]
    fields: dict[str, Any]

    @property
    def text(self) -> str:
        """The facts, one a line."""
        return "\n".join(f"{name}: {said}" for name, said in self.facts)

    @property
    def markdown(self) -> str:
        """The same as a list, with links, for services that show more than text."""
        return "\n".join(f"- **{name}**: {_marked(name, said)}" for name, said in self.facts)


def message(notice: Notice, links: Links) -> Message:
    """What `notice` says."""
    incident, finding = notice.incident, notice.incident.last
    values = values_of(incident)
    what = finding.key.kind.replace("_", " ")
    title = f"{TITLES[notice.kind].format(severity=_called(incident.severity))}: {finding.key.asset} {what}"
    facts = {
        "What": finding.said,
        "Where": f"{finding.key.asset}" + (f", {days}" if (days := days_text(incident)) else ""),
        "Since": f"{moment(incident.opened_at)}" + (f", {incident.looks} times" if incident.looks > 1 else ""),
        "Measured": _measured(finding),
        "Owner": ", ".join(finding.owners) or "nobody",
        **_state(notice),
        **({} if notice.kind == "resolved" else {"First": Template(finding.first_step).safe_substitute(values)}),
        "See": links.page(finding),
        "Runbook": links.runbook(finding),
        "Incident": _incident(notice),
        **({} if notice.kind in ("resolved", "test") else _shell(links.shell, incident)),
    }
    shown = tuple((name, said) for name, said in facts.items() if said)
    return Message(notice, title, shown, _fields(notice, links))


def moment(at: datetime) -> str:
    """A time as messages tell it."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def number(value: float) -> str:
    """A number as messages tell it."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _marked(name: str, said: str) -> str:
    if name == SHELL:
        return f"`{said}`"
    if said.startswith(("http://", "https://")):
        return f"[{said}]({said})"
    return re.sub(r"([\\*`<\[])", r"\\\1", " ".join(said.split()))


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
    told = {}
    if incident.acknowledged_at is not None and notice.kind != "resolved":
        told["Taken"] = f"by {incident.acknowledged_by}, {moment(incident.acknowledged_at)}{note}"
    if incident.resolved_at is not None:
        by = f"by {incident.resolved_by}, " if incident.resolved_by else "it passes again, "
        told["Over"] = f"{by}{moment(incident.resolved_at)}{note if incident.resolved_by else ''}"
    return told


def _incident(notice: Notice) -> str:
    incident = notice.incident
    if notice.kind in ("resolved", "test"):
        return str(incident.number)
    return f"{incident.number}; to take it: serving-assets alerts ack {incident.number}"


def _shell(shell: Shell | None, incident: Incident) -> dict[str, str]:
    """Where the commands of the runbook run, and what to paste there first."""
    if shell is None:
        return {}
    secrets = f"; export {', '.join(shell.secrets)} there first" if shell.secrets else ""
    return {"Host": f"{shell.host}{secrets}", SHELL: shell.of(incident)}


def _fields(notice: Notice, links: Links) -> dict[str, Any]:
    incident, finding = notice.incident, notice.incident.last
    return {
        "event": notice.kind,
        "at": notice.at.isoformat(),
        "incident": incident.uid,
        "number": incident.number,
        "severity": "error" if incident.severity is Severity.ERROR else "warning",
        "use_case": finding.key.scope,
        "asset": finding.key.asset,
        "kind": finding.key.kind,
        "said": finding.said,
        "partitions": [{"first": one.days.first, "last": one.days.last} for one in incident.failing if one.days.last],
        "measured": finding.measured,
        "threshold": finding.threshold,
        "owners": list(finding.owners),
        "opened_at": incident.opened_at.isoformat(),
        "acknowledged_by": incident.acknowledged_by or None,
        "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
        "resolved_by": incident.resolved_by or None,
        "note": incident.note or None,
        "first_step": finding.first_step,
        "page": links.page(finding),
        "runbook": links.runbook(finding),
        "shell": links.shell.of(incident) if links.shell else None,
    }
