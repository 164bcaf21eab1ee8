"""How each channel is spoken to: one file each, one function that opens it and one that sends.

Here: `open_channel`, the `Refused` that every channel raises, and what keeps secrets out of it. Not here: when
something is sent, or again (delivery.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from serving_assets.alerts.config import STDOUT, Channel
from serving_assets.alerts.message import Message

MOST_CHARACTERS = 500
Send = Callable[[Message, float], None]
"""Send one message within so many seconds; raises Refused unless the channel has accepted it."""


class Refused(Exception):
    """The channel has not accepted a message.

    `wait` is how long it asks to wait; `reachable` whether another message may fare better right now.
    """

    def __init__(self, said: str, wait: timedelta | None = None, *, reachable: bool = True) -> None:
        super().__init__(said)
        self.wait, self.reachable = wait, reachable

    def without(self, secrets: Sequence[str]) -> Refused:
        """The same with no secret in its words."""
        said = str(self)
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            said = said.replace(secret, "***")
        return Refused(said[:MOST_CHARACTERS], self.wait, reachable=self.reachable)


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
