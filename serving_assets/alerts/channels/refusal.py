"""The function that sends on a channel, and the error that every channel raises.

Here: `Send`, and `Refused` with what keeps secrets out of it. Not here: opening a channel (opening.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from serving_assets.alerts.message import Message

MOST_CHARACTERS = 500
Send = Callable[[Message, float], None]
"""Send one message within so many seconds; raises Refused unless the channel has accepted it."""


class Refused(Exception):
    """The channel has not accepted a message.

    `wait` is how long it asks to wait; `reachable` whether another message may fare better right now.
    """

    def __init__(self, reason: str, wait: timedelta | None = None, *, reachable: bool = True) -> None:
        super().__init__(reason)
        self.wait, self.reachable = wait, reachable

    def without(self, secrets: Sequence[str]) -> Refused:
        """Return a copy with secrets redacted."""
        reason = str(self)
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            reason = reason.replace(secret, "***")
        return Refused(reason[:MOST_CHARACTERS], self.wait, reachable=self.reachable)
