"""Who is told: a real webhook, and what it has received.

Here: the receiver and the configuration that leads to it. Not here: what should have been received (faults).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from tests.alerts.receiver import Receiver, receiving

SECRET = "of the drill, and of nothing else"
Subject = tuple[str, str]
"""An asset (or job), and the check or kind of failure."""


@dataclass(frozen=True)
class Notice:
    """One notice, as it was received; `at` by the clock of the drill."""

    event: str
    incident: str
    subject: Subject
    severity: str
    title: str
    said: str
    at: datetime
    scope: str

    def __str__(self) -> str:
        return self.title


class Inbox:
    """What the webhook has received of those that the drill is about."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def configure(self, home: Path) -> None:
        """Have everything told here, once and when it is over."""
        hook = {"webhook": {"url": f"{self._receiver.url}/alerts", "secret": SECRET}}
        config = {
            "channels": {"drill": hook},
            "default": {"notify": ["drill"]},
            "repeat_after": {"error": "30d", "warn": "30d"},
            "escalate_after": "30d",
        }
        (home / "alerts.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def notices(self) -> list[Notice]:
        """All of them, in the order in which they came; a second delivery of one is left out."""
        found = {request.headers["Idempotency-Key"]: request.json for request in list(self._receiver.requests)}
        return [
            Notice(
                event=fields["event"],
                incident=fields["incident"],
                subject=(fields["asset"], fields["kind"]),
                severity=fields["severity"],
                title=fields["title"],
                said=fields["message"],
                at=datetime.fromisoformat(fields["at"]),
                scope=fields["use_case"],
            )
            for fields in found.values()
        ]

    def since(self, moment: datetime) -> list[Notice]:
        """Those of a moment or later."""
        return [notice for notice in self.notices() if notice.at >= moment]

    def open(self, moment: datetime) -> list[Notice]:
        """The incidents that began at a moment or later and are not over."""
        ended = {notice.incident for notice in self.notices() if notice.event == "resolved"}
        return [n for n in self.since(moment) if n.event == "opened" and n.incident not in ended]


@contextmanager
def inbox() -> Iterator[Inbox]:
    """A webhook on loopback."""
    with receiving() as receiver:
        yield Inbox(receiver)
