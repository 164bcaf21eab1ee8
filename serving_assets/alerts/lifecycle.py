"""The life cycle of an incident: which finding opens, joins, worsens or resolves it, and which notice is due when.

Here: pure functions of an incident, a finding and the time. Not here: where incidents are kept (incident_store.py), or
who receives a notice (config.py gives the routes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from serving_assets.alerts.records import ALL, Failing, Finding, Incident, Notice, NoticeKind, Severity

Route = Callable[[tuple[str, ...], Severity], tuple[str, ...]]
"""The channels of some owners at a severity."""


@dataclass(frozen=True)
class Rules:
    """When an open incident is told again, and to whom.

    Args:
        repeat_error: after how long an open error is told again, counted from when a channel accepted the last notice.
        repeat_warn: the same for a warning.
        repeat_acknowledged: the same for what somebody has acknowledged, so that it is not forgotten.
        escalate_after: after how long an error that nobody has acknowledged is told to `escalate` too.
        route: the channels of an incident.
        escalate: the channels of its escalation.
    """

    route: Route
    escalate: Route
    repeat_error: timedelta = timedelta(hours=4)
    repeat_warn: timedelta = timedelta(hours=24)
    repeat_acknowledged: timedelta = timedelta(hours=24)
    escalate_after: timedelta = timedelta(minutes=30)

    def repeat_after(self, incident: Incident) -> timedelta:
        """How long the incident stays untold when it has been told."""
        if incident.acknowledged_at is not None:
            return self.repeat_acknowledged
        return self.repeat_error if incident.severity is Severity.ERROR else self.repeat_warn


Step = tuple[Incident, Notice | None]


def opened(finding: Finding, number: int, uid: str) -> Incident:
    """The incident that a failing finding opens; nothing has been told yet."""
    failing = Failing(finding.days, finding.at, finding.severity, finding.lasting)
    return Incident(number, uid, finding.key, finding.severity, finding.at, finding, (failing,))


def joined(incident: Incident, finding: Finding) -> Incident:
    """An open incident after one more finding of its key; one without failing days left is over.

    A finding that is older than what is known of its days changes nothing.
    """
    if finding.severity is Severity.OK:
        failing = tuple(one for one in incident.failing if not _mends(finding, one))
        ended = None if failing else finding.at
        return replace(incident, failing=failing, severity=_worst(failing, incident.severity), resolved_at=ended)
    known = next((one for one in incident.failing if one.days == finding.days), None)
    if known is not None and finding.at <= known.at:
        return incident
    others = tuple(one for one in incident.failing if one is not known)
    failing = (*others, Failing(finding.days, finding.at, finding.severity, finding.lasting))
    last = finding if finding.at >= incident.last.at else incident.last
    return replace(incident, failing=failing, severity=_worst(failing), last=last, looks=incident.looks + 1)


def _mends(finding: Finding, failing: Failing) -> bool:
    if finding.at < failing.at:
        return False
    newer = finding.days.last >= failing.days.last and not failing.lasting
    return failing.days.within(finding.days) or newer


def _worst(failing: tuple[Failing, ...], otherwise: Severity = Severity.OK) -> Severity:
    return max((one.severity for one in failing), default=otherwise)


def due(incident: Incident, rules: Rules, now: datetime, *, silenced: bool) -> Step:
    """The incident and what is to be told of it now, at most one notice.

    What a silence covers is not told, and told when the silence ends if it is still open. What was never told is not
    told to be over.
    """
    if not incident.is_open:
        return _tell(incident, "resolved", now, incident.told) if incident.announced_at else (incident, None)
    if silenced:
        return incident, None
    channels = rules.route(incident.last.owners, incident.severity)
    if incident.announced_at is None:
        return _tell(replace(incident, announced_at=now), "opened", now, channels)
    if incident.told_severity < incident.severity:
        worse = replace(incident, acknowledged_at=None, acknowledged_by="", announced_at=now, escalated_at=None)
        return _tell(worse, "worsened", now, channels)
    if _to_escalate(incident, rules, now) and (more := rules.escalate(incident.last.owners, incident.severity)):
        return _tell(replace(incident, escalated_at=now), "escalated", now, more)
    if incident.settled_at is not None and now - incident.settled_at >= rules.repeat_after(incident):
        return _tell(incident, "repeated", now, channels)
    return incident, None


def _to_escalate(incident: Incident, rules: Rules, now: datetime) -> bool:
    unheard = incident.acknowledged_at is None and incident.escalated_at is None
    since = incident.announced_at or now
    return incident.severity is Severity.ERROR and unheard and now - since >= rules.escalate_after


def acknowledged(incident: Incident, author: str, note: str, now: datetime) -> Step:
    """Somebody has taken it: no escalation, and repeats are rare."""
    taken = replace(incident, acknowledged_at=now, acknowledged_by=author, note=note)
    return _tell(taken, "acknowledged", now, incident.told) if incident.announced_at else (taken, None)


def resolved(incident: Incident, author: str, note: str, now: datetime) -> Step:
    """Somebody says that it is over; when it still fails, the next look opens a new incident."""
    over = replace(incident, resolved_at=now, resolved_by=author, note=note, failing=())
    return _tell(over, "resolved", now, incident.told) if incident.announced_at else (over, None)


def _tell(incident: Incident, kind: NoticeKind, now: datetime, channels: tuple[str, ...]) -> Step:
    told = tuple(dict.fromkeys((*incident.told, *channels)))
    after = replace(incident, notices=incident.notices + 1, told=told, settled_at=None, told_severity=incident.severity)
    return after, Notice(kind, now, after, told)


def days_text(incident: Incident) -> str:
    """The failing days in few words; empty for what has no partitions."""
    days = sorted({one.days for one in incident.failing} or {incident.last.days})
    named = [str(one) for one in days if one != ALL]
    return ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
