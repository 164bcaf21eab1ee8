"""The words of alerting: what was found, the incident it belongs to, and the notice that tells of it.

Here: frozen records and their JSON form. Not here: when one turns into another (lifecycle.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

from serving_assets.errors import ServingAssetsError


class AlertsError(ServingAssetsError):
    """Alerts cannot be configured, kept or delivered."""


class Severity(IntEnum):
    """How bad a finding is: a warning notifies, an error pages."""

    OK = 0
    WARN = 1
    ERROR = 2

    def __str__(self) -> str:
        return self.name


class Key(NamedTuple):
    """What an incident is about. There is at most one open incident of a key.

    `scope` is the use case, the domain of a table that use cases share, or `platform`; `asset` is the asset, or
    whatever else fails, such as `schedules/<name>`; `kind` is the name of a check, or one of the kinds of failure.
    """

    scope: str
    asset: str
    kind: str

    def __str__(self) -> str:
        return f"{self.asset}:{self.kind}"


class Days(NamedTuple):
    """The partitions that a finding speaks of, as ISO dates, both inclusive; two empty texts without partitions."""

    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    def within(self, other: Days) -> bool:
        """Whether `other` speaks of all these days; what speaks of no day at all speaks of everything."""
        return other == ALL or other.first <= self.first <= self.last <= other.last


ALL = Days()


@dataclass(frozen=True)
class Finding:
    """One look at one thing: it is well, or it is not and why.

    Args:
        lasting: whether later days read this one, so that only its own mending ends the incident. Otherwise a newer
            day that is well ends it too.
        first_step: the first thing that whoever is called should do.
        page: path of what to look at, below the address of the UI.
        newest_day: the newest day that had ended then, for the runbook of a finding that speaks of no day.
    """

    key: Key
    severity: Severity
    at: datetime
    days: Days = ALL
    said: str = ""
    measured: float | None = None
    threshold: float | None = None
    owners: tuple[str, ...] = ()
    lasting: bool = False
    first_step: str = ""
    page: str = ""
    newest_day: str = ""


@dataclass(frozen=True)
class Failing:
    """Days that are part of an open incident: since which look, and how bad they are."""

    days: Days
    at: datetime
    severity: Severity
    lasting: bool


@dataclass(frozen=True)
class Incident:
    """Something that goes wrong, from its first failing look until it is well again.

    `last` is the newest failing finding. `told` names the channels that have been told; whoever was told that it began
    is told that it is over. `settled_at` is when the first of them had accepted the newest notice.
    """

    number: int
    uid: str
    key: Key
    severity: Severity
    opened_at: datetime
    last: Finding
    failing: tuple[Failing, ...]
    looks: int = 1
    notices: int = 0
    announced_at: datetime | None = None
    told_severity: Severity = Severity.OK
    settled_at: datetime | None = None
    told: tuple[str, ...] = ()
    escalated_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it still goes wrong, as far as is known."""
        return self.resolved_at is None


NoticeKind = Literal["opened", "worsened", "repeated", "escalated", "acknowledged", "resolved", "test"]


@dataclass(frozen=True)
class Notice:
    """One transition of an incident, as it is told: the incident as it was then, and to which channels."""

    kind: NoticeKind
    at: datetime
    incident: Incident
    channels: tuple[str, ...]

    @property
    def key(self) -> str:
        """What makes the notice the same however often it is sent."""
        return f"{self.incident.uid}-{self.incident.notices}"


@dataclass(frozen=True)
class Silence:
    """Incidents of which nothing is told until the silence ends."""

    number: int
    pattern: str
    author: str
    reason: str
    since: datetime
    until: datetime

    def covers(self, key: Key, now: datetime) -> bool:
        """Whether it holds at `now` for `key`.

        The pattern is a use case, an asset or `asset:check`; `*` and `?` stand for any characters and any one.
        """
        wanted = self.pattern
        names = (str(key), key.scope)
        alike = any(fnmatchcase(name, p) for name in names for p in (wanted, f"{wanted}:*", f"{wanted}/*"))
        return self.since <= now < self.until and alike


INCIDENT = TypeAdapter(Incident)
NOTICE = TypeAdapter(Notice)
