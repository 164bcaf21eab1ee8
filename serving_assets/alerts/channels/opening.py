"""Opening a channel by its declaration.

Here: which file sends on which kind of channel. Not here: when something is sent, or again (alerts/delivery.py).
"""

from __future__ import annotations

from serving_assets.alerts.channels.refusal import Refused, Send
from serving_assets.alerts.config import STDOUT, Channel


def open_channel(name: str, channel: Channel | None) -> Send:
    """The way to send on a channel; `channel` is None where it is built in, or declared no longer."""
    if channel is not None and channel.pagerduty is not None:
        from serving_assets.alerts.channels.pagerduty import pagerduty

        return pagerduty(channel.pagerduty)
    if channel is not None and channel.webhook is not None:
        from serving_assets.alerts.channels.webhook import webhook

        return webhook(channel.webhook)
    if channel is not None and channel.apprise is not None:
        from serving_assets.alerts.channels.chat import chat

        return chat(channel.apprise.get_secret_value())
    if name == STDOUT:
        from serving_assets.alerts.channels.stdout import stdout

        return stdout
    raise Refused(f"the configuration declares no channel {name!r} any more")
