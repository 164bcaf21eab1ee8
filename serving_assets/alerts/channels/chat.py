"""Slack, Microsoft Teams, e-mail and all else that apprise speaks.

Here: one message through one apprise URL, and why it was refused. Not here: what such URLs look like:
https://appriseit.com/services/
"""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote

from serving_assets.alerts.channels.refusal import Refused, Send
from serving_assets.alerts.message import Message

LONGEST_NAME = 4
"""Shorter parts of a URL are no secrets, and would blacken half of every text."""


def chat(url: str) -> Send:
    """Send through the service of an apprise URL."""

    def send(message: Message, seconds: float) -> None:
        import apprise

        lines: list[str] = []
        # Its own pictures would have Slack and Teams fetch them from a third party.
        service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="serving-assets", image_url_mask=None))
        if not service.add(url):
            raise Refused(f"{scheme(url)}:// is no address that apprise understands")
        kind = "failure" if message.fields["severity"] == "error" else "warning"
        notify_type = "success" if message.notice.kind == "resolved" else kind
        accepted = service.notify(
            body=message.markdown,
            title=message.title,
            notify_type=notify_type,
            body_format="markdown",
            timeout=seconds,
            log_callback=lambda entry, _: lines.append(entry.message),
            log_level=logging.WARNING,
        )
        if not accepted:
            reason = " ".join(lines) or f"{scheme(url)}: not accepted"
            raise Refused(reason, reachable=False).without(secrets(url))

    return send


def scheme(url: str) -> str:
    """What may be shown of an apprise URL."""
    return url.partition("://")[0]


def secrets(url: str) -> list[str]:
    """All parts of a URL that may be secret: any but its scheme."""
    rest = url.partition("://")[2]
    parts = [rest, *re.split(r"[/?&=:@#,]+", rest)]
    return [part for each in parts for part in {each, unquote(each)} if len(part) > LONGEST_NAME]
