"""Notices on their way to channels, written in the transaction of the incident that they report.

Here: one row per notice and channel, its attempts, and when the next one is due. Not here: the attempts (delivery.py).

A notice is sent until its channel has accepted it. When a process is killed between the channel's answer and the note
of it, the next one sends it once more, with the same key: channels that know keys (PagerDuty, webhooks) show it once.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.records import INCIDENT, NOTICE, Notice

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=10)
GIVEN_UP_AFTER = timedelta(days=7)
"""A notice that is a week old is of no use."""


@dataclass(frozen=True)
class NoticeDelivery:
    """A notice on its way to one channel, after `attempts` attempts that failed."""

    id: int
    channel: str
    notice: Notice
    attempts: int
    state: str
    tried_at: datetime | None
    error: str


class Outbox:
    """The deliveries in `file`."""

    def __init__(self, file: AlertsFile) -> None:
        self.file = file

    def put(self, connection: sqlite3.Connection, notice: Notice) -> None:
        """Have a notice delivered, as part of the transaction that changes its incident.

        A repetition is not put behind something that its channel has not accepted yet, and none outlives its incident.
        """
        number = notice.incident.number
        if notice.kind == "resolved":
            connection.execute(
                "UPDATE deliveries SET state = 'dropped' WHERE incident = ? AND kind = 'repeated' "
                "AND state = 'pending'",
                [number],
            )
        rows = connection.execute(
            "SELECT DISTINCT channel FROM deliveries WHERE incident = ? AND state = 'pending'", [number]
        )
        waiting = {row[0] for row in rows} if notice.kind == "repeated" else set()
        body = NOTICE.dump_json(notice, by_alias=True).decode()
        connection.executemany(
            "INSERT INTO deliveries (incident, channel, kind, key, notice, due) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, channel, notice.kind, notice.key, body, notice.at.timestamp())
                for channel in notice.channels
                if channel not in waiting
            ],
        )

    def due(self, now: datetime) -> list[NoticeDelivery]:
        """What may be sent now: of each incident and channel the oldest that has not been accepted."""
        return self._select(
            "state = 'pending' AND due <= ? AND NOT EXISTS (SELECT 1 FROM deliveries AS earlier WHERE "
            "earlier.state = 'pending' AND earlier.incident = d.incident AND earlier.channel = d.channel "
            "AND earlier.id < d.id)",
            now.timestamp(),
        )

    def undelivered(self, attempts: int = 1) -> list[NoticeDelivery]:
        """What at least so many attempts have not brought to its channel, what was given up included."""
        return self._select("state IN ('pending', 'given up') AND attempts >= ?", attempts)

    def accepted(self, delivery: NoticeDelivery, now: datetime) -> None:
        """The channel has accepted it; from now on counts the interval of repetitions."""
        with self.file.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = 'accepted', tried = ?, error = '' WHERE id = ?",
                [now.timestamp(), delivery.id],
            )
            number = delivery.notice.incident.number
            row = connection.execute("SELECT body FROM incidents WHERE number = ?", [number]).fetchone()
            incident = INCIDENT.validate_json(row[0]) if row else None
            newest = incident is not None and incident.notices == delivery.notice.incident.notices
            if incident is not None and newest and incident.settled_at is None:
                settled = INCIDENT.dump_json(replace(incident, settled_at=now), by_alias=True).decode()
                connection.execute("UPDATE incidents SET body = ? WHERE number = ?", [settled, number])

    def refused(self, delivery: NoticeDelivery, error: str, now: datetime, wait: timedelta | None = None) -> None:
        """An attempt failed; the next one waits twice as long as this one did, or as long as the channel asked for."""
        wait = min(wait or FIRST_WAIT * 2 ** min(delivery.attempts, 20), LONGEST_WAIT)
        state = "given up" if now - delivery.notice.at > GIVEN_UP_AFTER else "pending"
        with self.file.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = attempts + 1, tried = ?, due = ?, error = ?, state = ? WHERE id = ?",
                [now.timestamp(), (now + wait).timestamp(), error, state, delivery.id],
            )

    def forget(self, connection: sqlite3.Connection, before: datetime) -> None:
        """Remove what was tried last before then."""
        gone = "DELETE FROM deliveries WHERE state != 'pending' AND coalesce(tried, due) < ?"
        connection.execute(gone, [before.timestamp()])

    def _select(self, where: str, value: float) -> list[NoticeDelivery]:
        with self.file.reading() as connection:
            rows = connection.execute(
                f"SELECT id, channel, notice, attempts, state, tried, error FROM deliveries AS d WHERE {where} "
                "ORDER BY id",
                [value],
            ).fetchall()
        return [
            NoticeDelivery(i, c, NOTICE.validate_json(n), a, s, datetime.fromtimestamp(t, UTC) if t else None, e)
            for i, c, n, a, s, t, e in rows
        ]
