"""The durable state of alerts: incidents, silences, and how far the sources have been read.

Here: each change as one transaction, so that a kill between any two of them loses nothing and doubles nothing. Not
here: the rules (lifecycle.py), or the sending (outbox.py, delivery.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from serving_assets.alerts import lifecycle
from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.lifecycle import Rules, Step
from serving_assets.alerts.outbox import Outbox
from serving_assets.alerts.records import INCIDENT, AlertsError, Finding, Incident, Severity, Silence

LATE_AFTER = timedelta(minutes=5)
"""Age of the last evaluation from which on alerts count as stopped."""
KEPT = timedelta(days=365)
"""How long incidents that are over are kept."""


class IncidentStore:
    """The incidents in `file`, and the outbox of their notices."""

    def __init__(self, file: AlertsFile) -> None:
        self.file = file
        self.outbox = Outbox(file)

    def observe(
        self, findings: Iterable[Finding], rules: Rules, now: datetime, cursor: Mapping[str, Any] | None = None
    ) -> None:
        """Take in findings, enter the notices that are due, and remember how far was read: all of it, or nothing.

        Findings of one key must come in the order in which they happened.
        """
        with self.file.writing() as connection:
            silences = _silences(connection)

            def due(incident: Incident) -> Incident:
                silenced = any(silence.covers(incident.key, now) for silence in silences)
                return self._keep(connection, lifecycle.due(incident, rules, now, silenced=silenced), incident)

            for finding in findings:
                self._take_in(connection, finding, due)
            for incident in _incidents(connection, "open = 1"):
                due(incident)
            _set(connection, "looked_at", now.isoformat())
            if cursor is not None:
                _set(connection, "cursor", json.dumps(cursor))
            connection.execute("DELETE FROM incidents WHERE resolved < ?", [(now - KEPT).timestamp()])
            self.outbox.forget(connection, now - KEPT)

    def cursor(self) -> dict[str, Any] | None:
        """How far the sources have been read; None before the first look."""
        found = self.fact("cursor")
        return dict(json.loads(found)) if found else None

    def is_looking(self, now: datetime) -> bool:
        """Whether alerts are evaluated, as the daemon does every 30 seconds."""
        looked_at = self.looked_at()
        return looked_at is not None and now - looked_at < LATE_AFTER

    def looked_at(self) -> datetime | None:
        """When the sources were looked at last."""
        found = self.fact("looked_at")
        return datetime.fromisoformat(found) if found else None

    def fact(self, name: str) -> str | None:
        """A remembered text."""
        with self.file.reading() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        return str(row[0]) if row else None

    def remember(self, name: str, value: str) -> None:
        """Remember a text; nothing is written when it has not changed."""
        if self.fact(name) != value:
            with self.file.writing() as connection:
                _set(connection, name, value)

    def incidents(self, *, also_resolved: bool = False) -> list[Incident]:
        """The open incidents, or all that are kept; the oldest first."""
        with self.file.reading() as connection:
            return _incidents(connection, "true" if also_resolved else "open = 1")

    def acknowledge(self, number: int, author: str, note: str, now: datetime) -> Incident:
        """Acknowledge an open incident, and notify the channels that received it."""
        return self._by_hand(number, lambda incident: lifecycle.acknowledged(incident, author, note, now))

    def resolve(self, number: int, author: str, note: str, now: datetime) -> Incident:
        """Resolve an open incident, and notify the channels that received it."""
        return self._by_hand(number, lambda incident: lifecycle.resolved(incident, author, note, now))

    def silence(self, pattern: str, author: str, reason: str, now: datetime, until: datetime) -> Silence:
        """Suspend notices of the incidents that `pattern` covers until then."""
        row = [pattern, author, reason, now.timestamp(), until.timestamp()]
        with self.file.writing() as connection:
            found = connection.execute(
                "INSERT INTO silences (pattern, author, reason, since, until) VALUES (?, ?, ?, ?, ?)", row
            )
        return Silence(found.lastrowid or 0, pattern, author, reason, now, until)

    def unsilence(self, number: int, now: datetime) -> Silence:
        """End a silence now.

        Raises:
            AlertsError: when none of that number is in force.
        """
        with self.file.writing() as connection:
            found = [one for one in _silences(connection) if one.number == number and one.until > now]
            connection.execute("UPDATE silences SET until = ? WHERE number = ?", [now.timestamp(), number])
        if not found:
            raise AlertsError(f"No silence {number} is in force.", hint="serving-assets alerts lists those that are.")
        return replace(found[0], until=now)

    def silences(self, now: datetime) -> list[Silence]:
        """The silences in force."""
        with self.file.reading() as connection:
            return [silence for silence in _silences(connection) if silence.since <= now < silence.until]

    def _take_in(self, connection: sqlite3.Connection, finding: Finding, due: Callable[[Incident], Incident]) -> None:
        """An incident that begins and ends between two evaluations has both notices: opened, then resolved."""
        found = _incidents(connection, "open = 1 AND key = ?", [json.dumps(finding.key)])
        if found:
            ends = not lifecycle.joined(found[0], finding).is_open
            before = due(found[0]) if ends and found[0].announced_at is None else found[0]
            after = self._keep(connection, (lifecycle.joined(before, finding), None), before)
            if ends:
                due(after)
        elif finding.severity is not Severity.OK and not _explained(connection, finding):
            row = connection.execute(
                "INSERT INTO incidents (key, open, body) VALUES (?, 1, '')", [json.dumps(finding.key)]
            )
            number = row.lastrowid or 0
            workspace = connection.execute("SELECT value FROM facts WHERE name = 'workspace'").fetchone()[0]
            self._keep(connection, (lifecycle.opened(finding, number, f"{workspace}-{number}"), None), None)

    def _by_hand(self, number: int, change: Callable[[Incident], Step]) -> Incident:
        with self.file.writing() as connection:
            found = _incidents(connection, "open = 1 AND number = ?", [number])
            if not found:
                raise AlertsError(
                    f"No incident {number} is open.", hint="serving-assets alerts lists those that are, with --all all."
                )
            step = change(found[0])
            self._keep(connection, step, found[0])
        return step[0]

    def _keep(self, connection: sqlite3.Connection, step: Step, before: Incident | None) -> Incident:
        incident, notice = step
        if incident != before:
            resolved = incident.resolved_at.timestamp() if incident.resolved_at else None
            body = INCIDENT.dump_json(incident, by_alias=True).decode()
            connection.execute(
                "UPDATE incidents SET open = ?, resolved = ?, body = ? WHERE number = ?",
                [incident.is_open, resolved, body, incident.number],
            )
        if notice:
            self.outbox.put(connection, notice)
        return incident


def _incidents(connection: sqlite3.Connection, where: str, values: Iterable[object] = ()) -> list[Incident]:
    rows = connection.execute(f"SELECT body FROM incidents WHERE {where} ORDER BY number", tuple(values)).fetchall()
    return [INCIDENT.validate_json(row[0]) for row in rows]


def _explained(connection: sqlite3.Connection, finding: Finding) -> bool:
    """Whether an open incident is what caused this finding, so that its owner knows already."""
    return bool(finding.cause) and any(str(one.key) == finding.cause for one in _incidents(connection, "open = 1"))


def _silences(connection: sqlite3.Connection) -> list[Silence]:
    rows = connection.execute("SELECT number, pattern, author, reason, since, until FROM silences").fetchall()
    return [Silence(*row[:4], *(datetime.fromtimestamp(at, UTC) for at in row[4:])) for row in rows]


def _set(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", [name, value]
    )
