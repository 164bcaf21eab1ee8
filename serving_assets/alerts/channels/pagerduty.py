"""PagerDuty through Events API v2: an incident is an alert there, by its dedup key.

Here: the three actions. Not here: apprise's plugin, which opens incidents and cannot resolve them.

https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

import json
from typing import Any

from serving_assets.alerts.channels.http import post
from serving_assets.alerts.channels.refusal import Refused, Send
from serving_assets.alerts.config import PagerDuty
from serving_assets.alerts.message import Message

ACTIONS = {"acknowledged": "acknowledge", "resolved": "resolve"}
SUMMARY_CHARACTERS = 1_024


def pagerduty(service: PagerDuty) -> Send:
    """Send to a service of PagerDuty."""
    routing_key = service.routing_key.get_secret_value()

    def send(message: Message, seconds: float) -> None:
        body = json.dumps(event(message, routing_key)).encode()
        try:
            post(service.url, body, {"Content-Type": "application/json"}, seconds)
        except Refused as refused:
            raise refused.without([routing_key]) from None

    return send


def event(message: Message, routing_key: str) -> dict[str, Any]:
    """The event: `trigger` opens, and joins what is open under the same key; the others need the key alone."""
    fields = message.fields
    action = ACTIONS.get(message.notice.kind, "trigger")
    event = {"routing_key": routing_key, "event_action": action, "dedup_key": fields["incident"]}
    if action != "trigger":
        return event
    return {
        **event,
        "payload": {
            "summary": f"{message.title}. {fields['message']}"[:SUMMARY_CHARACTERS],
            "source": fields["asset"],
            "severity": fields["severity"],
            "timestamp": fields["opened_at"],
            "component": fields["asset"],
            "group": fields["use_case"],
            "class": fields["kind"],
            "custom_details": dict(message.facts),
        },
        "links": [
            {"href": address, "text": text}
            for text, address in (("UI", fields["page"]), ("Runbook", fields["runbook"]))
            if address.startswith("http")
        ],
        "client": "serving-assets",
        "client_url": fields["page"],
    }
