"""The records of alerting: a finding, the incident that it belongs to, and the notice that reports it.

Here: frozen records and their JSON form, in which early names of fields are kept. Not here: when one turns into
another (lifecycle.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from serving_assets.errors import ServingAssetsError

LONGEST_FINDING = 1_200
TEST = "test"
"""The kind of a finding that tries channels."""


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
    """The partitions that a finding is about, as ISO dates, both inclusive; two empty texts without partitions."""

    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    def within(self, other: Days) -> bool:
        """Whether `other` covers all these days; without days it covers everything."""
        return other == ALL or other.first <= self.first <= self.last <= other.last


ALL = Days()


@dataclass(frozen=True)
class Finding:
    """The result of one evaluation of one thing: it passes, or it fails and why.

    Args:
        message: what was found, in at most LONGEST_FINDING characters.
        lasting: whether later days read this one, so that the incident ends only when these days pass. Otherwise a
            newer day that passes ends it too.
        first_step: the first thing to do about it.
        cause: the key, as text, of what explains a failure: while its incident is open, this finding opens none.
        page: path of what to look at, below the address of the UI.
        newest_day: the newest day that had ended then, for the runbook of a finding that speaks of no day.
    """

    key: Key
    severity: Severity
    at: datetime
    days: Days = ALL
    message: Annotated[str, Field(alias="said")] = ""
    measured: float | None = None
    threshold: float | None = None
    owners: tuple[str, ...] = ()
    lasting: bool = False
    first_step: str = ""
    page: str = ""
    cause: str = ""
    newest_day: str = ""


@dataclass(frozen=True)
class Failing:
    """Days that are part of an open incident: since which evaluation, and how severe they are."""

    days: Days
    at: datetime
    severity: Severity
    lasting: bool


@dataclass(frozen=True)
class Incident:
    """Something that fails, from its first failing evaluation until it passes again.

    `last` is the newest failing finding. `notified` names the channels that have received notices: all of them receive
    the one that it is resolved. `settled_at` is when the first of them had accepted the newest notice. `resolution`
    states what ended it; empty while it is open, or when a person did.
    """

    number: int
    uid: str
    key: Key
    severity: Severity
    opened_at: datetime
    last: Finding
    failing: tuple[Failing, ...]
    evaluations: Annotated[int, Field(alias="looks")] = 1
    notices: int = 0
    announced_at: datetime | None = None
    notified_severity: Annotated[Severity, Field(alias="told_severity")] = Severity.OK
    settled_at: datetime | None = None
    notified: Annotated[tuple[str, ...], Field(alias="told")] = ()
    escalated_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    resolution: str = ""
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it still fails, as far as is known."""
        return self.resolved_at is None


NoticeKind = Literal["opened", "worsened", "repeated", "escalated", "acknowledged", "resolved", "test"]


@dataclass(frozen=True)
class Notice:
    """One transition of an incident: the incident as it was then, and the channels that receive it."""

    kind: NoticeKind
    at: datetime
    incident: Incident
    channels: tuple[str, ...]

    @property
    def key(self) -> str:
        """Identifies the notice, however often it is sent."""
        return f"{self.incident.uid}-{self.incident.notices}"


@dataclass(frozen=True)
class Silence:
    """Incidents without notices until the silence ends."""

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
