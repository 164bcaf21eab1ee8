"""The life cycle of an incident: which finding opens, joins, worsens or resolves it, and which notice is due when.

Here: pure functions of an incident, a finding and the time. Not here: where incidents are kept (incident_store.py), or
who receives a notice (config.py gives the routes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from serving_assets.alerts.records import ALL, Days, Failing, Finding, Incident, Notice, NoticeKind, Severity
from serving_assets.errors import listed

SHOWN_DAYS = 3
Route = Callable[[tuple[str, ...], Severity], tuple[str, ...]]
"""The channels of some owners at a severity."""


@dataclass(frozen=True)
class Rules:
    """When an open incident is reported again, and to which channels.

    Args:
        repeat_error: interval between notices of an open error, from when a channel accepted the last one.
        repeat_warn: the same for a warning.
        repeat_acknowledged: the same for an acknowledged incident, so that it is not forgotten.
        escalate_after: age at which an error without acknowledgement is reported to `escalate` too.
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
        """The interval between two notices of this incident."""
        if incident.acknowledged_at is not None:
            return self.repeat_acknowledged
        return self.repeat_error if incident.severity is Severity.ERROR else self.repeat_warn


Step = tuple[Incident, Notice | None]


def opened(finding: Finding, number: int, uid: str) -> Incident:
    """The incident that a failing finding opens; no notice exists yet."""
    failing = Failing(finding.days, finding.at, finding.severity, finding.lasting)
    return Incident(number, uid, finding.key, finding.severity, finding.at, finding, (failing,))


def joined(incident: Incident, finding: Finding) -> Incident:
    """An open incident after one more finding of its key; one without failing days left is over.

    A finding that is older than what is known of its days changes nothing.
    """
    if finding.severity is Severity.OK:
        failing = tuple(one for one in incident.failing if not _ends(finding, one))
        severity = _worst(failing, incident.severity)
        if failing:
            return replace(incident, failing=failing, severity=severity)
        why = _resolution(incident, finding)
        return replace(incident, failing=(), severity=severity, resolved_at=finding.at, resolution=why)
    known = next((one for one in incident.failing if one.days == finding.days), None)
    if known is not None and finding.at <= known.at:
        return incident
    others = tuple(one for one in incident.failing if one is not known)
    failing = (*others, Failing(finding.days, finding.at, finding.severity, finding.lasting))
    last = finding if finding.at >= incident.last.at else incident.last
    return replace(incident, failing=failing, severity=_worst(failing), last=last, evaluations=incident.evaluations + 1)


def _resolution(incident: Incident, finding: Finding) -> str:
    """What ended it: the failing days pass, or only a newer day does and they were not evaluated again."""
    untouched = sorted({one.days for one in incident.failing if not one.days.within(finding.days)})
    if not untouched:
        return "it passes again"
    return f"the newer {finding.days} passes; {_listed_days(untouched)} was not evaluated again"


def _ends(finding: Finding, failing: Failing) -> bool:
    """Whether a passing finding ends the failure of these days."""
    if finding.at < failing.at:
        return False
    newer = finding.days.last >= failing.days.last and not failing.lasting
    return failing.days.within(finding.days) or newer


def _worst(failing: tuple[Failing, ...], default: Severity = Severity.OK) -> Severity:
    return max((one.severity for one in failing), default=default)


def due(incident: Incident, rules: Rules, now: datetime, *, silenced: bool) -> Step:
    """Return the incident and the notice that is due now, at most one.

    A silenced incident has no notice until the silence ends, and then has one if it is still open. An incident that was
    never reported is not reported as resolved.
    """
    if not incident.is_open:
        return _notify(incident, "resolved", now, incident.notified) if incident.announced_at else (incident, None)
    if silenced:
        return incident, None
    channels = rules.route(incident.last.owners, incident.severity)
    if incident.announced_at is None:
        return _notify(replace(incident, announced_at=now), "opened", now, channels)
    if incident.notified_severity < incident.severity:
        worse = replace(incident, acknowledged_at=None, acknowledged_by="", announced_at=now, escalated_at=None)
        return _notify(worse, "worsened", now, channels)
    if _to_escalate(incident, rules, now) and (more := rules.escalate(incident.last.owners, incident.severity)):
        return _notify(replace(incident, escalated_at=now), "escalated", now, more)
    if incident.settled_at is not None and now - incident.settled_at >= rules.repeat_after(incident):
        return _notify(incident, "repeated", now, channels)
    return incident, None


def _to_escalate(incident: Incident, rules: Rules, now: datetime) -> bool:
    waiting = incident.acknowledged_at is None and incident.escalated_at is None
    since = incident.announced_at or now
    return incident.severity is Severity.ERROR and waiting and now - since >= rules.escalate_after


def acknowledged(incident: Incident, author: str, note: str, now: datetime) -> Step:
    """Record that `author` works on it: it is not escalated, and repeated rarely."""
    taken = replace(incident, acknowledged_at=now, acknowledged_by=author, note=note)
    return _notify(taken, "acknowledged", now, incident.notified) if incident.announced_at else (taken, None)


def resolved(incident: Incident, author: str, note: str, now: datetime) -> Step:
    """Record that `author` has ended it; when it still fails, the next evaluation opens a new incident."""
    over = replace(incident, resolved_at=now, resolved_by=author, note=note, failing=())
    return _notify(over, "resolved", now, incident.notified) if incident.announced_at else (over, None)


def _notify(incident: Incident, kind: NoticeKind, now: datetime, channels: tuple[str, ...]) -> Step:
    receivers = tuple(dict.fromkeys((*incident.notified, *channels)))
    after = replace(
        incident,
        notices=incident.notices + 1,
        notified=receivers,
        settled_at=None,
        notified_severity=incident.severity,
    )
    return after, Notice(kind, now, after, receivers)


def days_text(incident: Incident) -> str:
    """The failing days in few words; empty for what has no partitions."""
    days = sorted({one.days for one in incident.failing} or {incident.last.days})
    return _listed_days(days)


def _listed_days(days: Iterable[Days]) -> str:
    named = [one for one in days if one != ALL]
    return listed(named, SHOWN_DAYS) if named else ""
