"""The sensor that evaluates alerts and notifies the owners.

Here: one look, from the sources to the channels, and the sensor that looks. Not here: the sources
(findings_from_runs.py, findings_from_state.py), the life of an incident, or the channels (alerts/).

How far a look has read is kept beside the incidents, in one transaction, and not in the sensor's cursor: so a daemon
that is killed at any moment reads nothing twice and skips nothing.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.config import AlertConfig, parse_config
from serving_assets.alerts.delivery import SECONDS_OF_AN_ATTEMPT, DeliveryAttempt, deliver
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.lifecycle import days_text
from serving_assets.alerts.message import Links
from serving_assets.alerts.records import AlertsError, Finding, Incident, Severity
from serving_assets.pipeline.dagster_instance.asset_graph import AssetGraph
from serving_assets.pipeline.observing.causes import with_causes
from serving_assets.pipeline.observing.finding_builder import (
    CONFIGURATION_BROKEN,
    DELIVERY_FAILED,
    FindingBuilder,
    platform_finding,
)
from serving_assets.pipeline.observing.findings_from_runs import Cursor, end_of_log, failing_now, since
from serving_assets.pipeline.observing.findings_from_state import days_given_up, states
from serving_assets.pipeline.observing.findings_from_store import store_findings
from serving_assets.pipeline.observing.runbooks import ALERTS_STOPPED
from serving_assets.pipeline.platform import Platform
from serving_assets.settings import Settings

EVERY_SECONDS, SURVEY_SECONDS = 30, 300
FAILED_ATTEMPTS = 5
"""After so many, which take about three minutes, a channel that refuses is an incident itself."""
LAST_VALID = "configuration"


@dataclass(frozen=True)
class Evaluation:
    """What one look has done."""

    open: int
    delivered: int
    refused: Sequence[DeliveryAttempt]

    def __str__(self) -> str:
        refused = f", {len(self.refused)} refused: {self.refused[0].error}" if self.refused else ""
        return f"{self.open} open incidents; {self.delivered} notices delivered{refused}"


def alert_sensor(platform: Platform) -> dg.SensorDefinition:
    """The sensor `alerts`."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates checks, runs, freshness, schedules, sensors and the online store, and notifies the "
        "owners of what fails: once, and when it is resolved.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        assert context.repository_def is not None
        done = look(context.instance, platform, context.repository_def.asset_graph, datetime.now(UTC))
        return dg.SkipReason(str(done) if done else "Another process is looking.")

    return alerts


def look(instance: dg.DagsterInstance, platform: Platform, graph: AssetGraph, now: datetime) -> Evaluation | None:
    """Evaluate everything since the last evaluation, and send what is due; None while another process does.

    The configuration is read anew each time. When it is broken, alerts go where its last valid version sent them, and
    that is an incident too.
    """
    settings, builder = platform.settings, FindingBuilder(graph, platform.catalog)
    book = IncidentStore(AlertsFile(settings.alerts_file))
    with book.file.alone() as alone:
        if not alone:
            return None
        config, broken = _config(book, settings, now)
        findings, cursor = _events(instance, builder, book, now)
        keys = [incident.key for incident in book.incidents()]
        findings += [*states(instance, builder, keys, now), *_undelivered(book, config, now), broken]
        findings += store_findings(platform, builder, keys, now)
        if now.timestamp() - cursor.surveyed >= SURVEY_SECONDS:
            findings += days_given_up(instance, platform, builder, keys, now)
            cursor = replace(cursor, surveyed=now.timestamp())
        findings = with_causes(findings, graph, book.incidents())
        book.observe(findings, config.rules(), now, asdict(cursor))
        outcomes = deliver(book, config, Links.of(settings), now=now)
        refused = [outcome for outcome in outcomes if outcome.error]
        _beat(config)
        return Evaluation(len(book.incidents()), len(outcomes) - len(refused), refused)


def _events(
    instance: dg.DagsterInstance, builder: FindingBuilder, book: IncidentStore, now: datetime
) -> tuple[list[Finding], Cursor]:
    """What happened since the last evaluation; at the first, only what fails now: old failures do not page."""
    known = book.cursor()
    if known is not None:
        return since(instance, builder, Cursor(**known), now)
    cursor = end_of_log(instance)
    return list(failing_now(instance, builder)), cursor


def _config(book: IncidentStore, settings: Settings, now: datetime) -> tuple[AlertConfig, Finding]:
    """The configuration, or its last valid version, and the finding about it."""
    path = settings.alerts_configuration
    what = path.name if path else "alerts.yaml"
    try:
        text = path.read_text(encoding="utf-8") if path else ""
        config = parse_config(text, str(path))
    except (AlertsError, OSError, UnicodeDecodeError) as error:
        return _last_valid(book, what), platform_finding(
            what, CONFIGURATION_BROKEN, Severity.ERROR, _changed(path, now), message=str(error)
        )
    book.remember(LAST_VALID, text)
    return config, platform_finding(what, CONFIGURATION_BROKEN, Severity.OK, now)


def _last_valid(book: IncidentStore, file: str) -> AlertConfig:
    try:
        return parse_config(book.fact(LAST_VALID) or "", file)
    except AlertsError:  # a variable that it names is gone
        return AlertConfig()


def _changed(path: Path | None, now: datetime) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path and path.exists() else now


def _undelivered(book: IncidentStore, config: AlertConfig, now: datetime) -> list[Finding]:
    """Findings about channels that keep refusing, and those that do not; reported to the default owner."""
    failing = {one.channel: one for one in book.outbox.undelivered(FAILED_ATTEMPTS) if one.state == "pending"}
    found = [
        platform_finding(
            f"alerts/{name}",
            DELIVERY_FAILED,
            Severity.ERROR,
            one.notice.at,
            message=f"Channel {name} has refused {one.attempts} attempts: {one.error}",
        )
        for name, one in failing.items()
    ]
    well = sorted({*config.channels} - {*failing})
    return found + [platform_finding(f"alerts/{name}", DELIVERY_FAILED, Severity.OK, now) for name in well]


def _beat(config: AlertConfig) -> None:
    """Call the declared address, so that something outside notices when alerts stop."""
    if config.heartbeat is not None:
        try:
            urllib.request.urlopen(config.heartbeat.get_secret_value(), timeout=SECONDS_OF_AN_ATTEMPT).close()
        except OSError:
            return  # the service that waits for it raises the alarm


def summary(settings: Settings, scopes: Collection[str], now: datetime) -> dict[str, Any]:
    """Alerts for `serving-assets status`: open incidents of `scopes`, refused notices, the newest evaluation."""
    book = IncidentStore(AlertsFile(settings.alerts_file))
    looked_at = book.looked_at()
    return {
        "incidents": [_shown(one, Links.of(settings)) for one in book.incidents() if one.key.scope in scopes],
        "undelivered": len(book.outbox.undelivered()),
        "looked_at": looked_at.isoformat(timespec="seconds") if looked_at else None,
        "is_looking": book.is_looking(now),
        "runbook": Links.of(settings).runbook_of(ALERTS_STOPPED),
    }


def _shown(incident: Incident, where: Links) -> dict[str, Any]:
    return {
        "incident": incident.number,
        "severity": str(incident.severity),
        "asset": incident.key.asset,
        "kind": incident.key.kind,
        "days": days_text(incident),
        "since": incident.opened_at.isoformat(timespec="seconds"),
        "taken_by": incident.acknowledged_by or None,
        "runbook": where.runbook(incident.last),
    }
