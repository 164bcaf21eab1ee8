"""A test message to an owner, which shows whether their channels work.

Here: sending it past the outbox, once. Not here: real notices (delivery.py).
"""

from __future__ import annotations

from datetime import datetime

from serving_assets.alerts.channels.opening import open_channel
from serving_assets.alerts.channels.refusal import Refused
from serving_assets.alerts.config import AlertConfig
from serving_assets.alerts.delivery import SECONDS_OF_AN_ATTEMPT
from serving_assets.alerts.message import Links, message
from serving_assets.alerts.records import TEST, Finding, Incident, Key, Notice, Severity


def try_channels(config: AlertConfig, owner: str, links: Links, now: datetime) -> dict[str, str]:
    """Send a test to each channel of `owner`, of every severity; return the errors, empty where it was accepted.

    On PagerDuty the test opens an alert and resolves it.
    """
    rules = config.rules()
    warn, error = (rules.route((owner,), severity) for severity in (Severity.WARN, Severity.ERROR))
    channels = tuple(dict.fromkeys((*warn, *error, *rules.escalate((owner,), Severity.ERROR))))
    return {name: _attempt(config, name, _notices(owner, channels, now), links) for name in channels}


def _attempt(config: AlertConfig, name: str, notices: tuple[Notice, ...], links: Links) -> str:
    channel = config.channels.get(name)
    is_pager = channel is not None and channel.pagerduty is not None
    try:
        send = open_channel(name, channel)
        for notice in notices if is_pager else notices[:1]:
            send(message(notice, links), SECONDS_OF_AN_ATTEMPT)
    except Refused as refused:
        return str(refused)
    return ""


def _notices(owner: str, channels: tuple[str, ...], now: datetime) -> tuple[Notice, Notice]:
    finding = Finding(
        key=Key("test", "alerts/test", TEST),
        severity=Severity.WARN,
        at=now,
        message=f"A test of the channels of {owner}. Nothing is wrong.",
        owners=(owner,),
        first_step="Nothing: this is a test.",
    )
    uid = f"test-{now:%Y%m%dT%H%M%S%f}"
    incident = Incident(0, uid, finding.key, finding.severity, now, finding, ())
    over = Incident(0, uid, finding.key, finding.severity, now, finding, (), notices=1, resolved_at=now)
    return Notice("test", now, incident, channels), Notice("resolved", now, over, channels)
