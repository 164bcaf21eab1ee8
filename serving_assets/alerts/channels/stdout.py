"""Standard output: what everybody has, before anything is configured.

Here: one block of lines per message. Not here: colours; the daemon's output is a log.
"""

from __future__ import annotations

import sys

from serving_assets.alerts.channels.refusal import Refused
from serving_assets.alerts.message import Message


def stdout(message: Message, _seconds: float) -> None:
    """Write a message to standard output."""
    lines = message.text.replace("\n", "\n  ")
    try:
        sys.stdout.write(f"ALERT {message.title}\n  {lines}\n")
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        raise Refused(f"standard output is closed: {error}") from None
