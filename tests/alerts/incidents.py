"""Findings and books for tests of alerts: one check of one asset unless told otherwise, on one clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.config import AlertConfig, parse_config
from serving_assets.alerts.delivery import DeliveryAttempt, deliver
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.message import Links
from serving_assets.alerts.records import ALL, Days, Finding, Key, Severity

START = datetime(2026, 3, 1, 5, tzinfo=UTC)
KEY = Key("churn", "churn/predictions", "score_drift")
OWNER = "team:crm"
LINKS = Links("https://dagster.example.com", "https://example.com/runbooks")
OK, WARN, ERROR = Severity.OK, Severity.WARN, Severity.ERROR


def finding(
    severity: Severity, minutes: float = 0, day: str = "", *, key: Key = KEY, lasting: bool = False, until: str = ""
) -> Finding:
    """What a check says so many minutes after the start, of a day, or of the days until `until`."""
    return Finding(
        key=key,
        severity=severity,
        at=START + timedelta(minutes=minutes),
        days=Days(day, until or day) if day else ALL,
        message="PSI of the score is 0.31",
        measured=0.31,
        threshold=0.25,
        owners=(OWNER,),
        lasting=lasting,
        first_step="Compare the two distributions.",
        page="assets/churn/predictions?view=checks",
    )


class Desk:
    """A book, a configuration and a clock: what a look does, without the sources."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self.book = IncidentStore(AlertsFile(folder / "alerts.db"))
        self.config: AlertConfig = parse_config(config, "alerts.yaml", {})
        self.now = START

    def look(self, *findings: Finding, minutes: float = 0) -> None:
        """Take findings in, so many minutes after the start."""
        self.now = max(self.now, START + timedelta(minutes=minutes))
        self.book.observe(findings, self.config.rules(), self.now)

    def deliver(self, *, seconds: float = 5) -> list[DeliveryAttempt]:
        """Send what is due."""
        return deliver(self.book, self.config, LINKS, seconds=seconds, now=self.now)

    def told(self) -> list[str]:
        """The kinds of all notices that were ever put into the outbox, in order, each with its channel."""
        with self.book.file.reading() as connection:
            rows = connection.execute("SELECT kind, channel FROM deliveries ORDER BY id").fetchall()
        return [f"{kind} {channel}" for kind, channel in rows]

    def kinds(self) -> list[str]:
        """The kinds alone."""
        return [told.partition(" ")[0] for told in self.told()]
