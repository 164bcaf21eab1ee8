"""Send what is in the outbox: every channel by itself, so that one that hangs delays no other.

Here: threads, time limits, and the note of each outcome. Not here: which attempt is due when (outbox.py).
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from serving_assets.alerts.channels.opening import open_channel
from serving_assets.alerts.channels.refusal import Refused, Send
from serving_assets.alerts.config import AlertConfig
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.message import Links, message
from serving_assets.alerts.outbox import NoticeDelivery

SECONDS_OF_AN_ATTEMPT = 10.0
SECONDS_OF_A_ROUND = 25.0
"""A sensor has 60 seconds, and other things to do."""


@dataclass(frozen=True)
class DeliveryAttempt:
    """What came of one attempt; `error` is empty when the channel has accepted."""

    delivery: NoticeDelivery
    error: str = ""
    wait: timedelta | None = None


def deliver(
    book: IncidentStore,
    config: AlertConfig,
    links: Links,
    *,
    seconds: float = SECONDS_OF_A_ROUND,
    now: datetime | None = None,
) -> list[DeliveryAttempt]:
    """Send all that is due, and note what came of it. Must be called by one process at a time.

    After `seconds`, an attempt that has no answer yet counts as failed; it is made again with the same key.
    """
    outcomes = []
    deadline = time.monotonic() + seconds
    asked: set[int] = set()
    while time.monotonic() < deadline:
        due = [one for one in book.outbox.due(now or datetime.now(UTC)) if one.id not in asked]
        if not due:
            break
        asked |= {one.id for one in due}
        for outcome in _attempts(due, config, links, deadline):
            outcomes.append(outcome)
            if outcome.error:
                book.outbox.refused(outcome.delivery, outcome.error, now or datetime.now(UTC), outcome.wait)
            else:
                book.outbox.accepted(outcome.delivery, now or datetime.now(UTC))
    return outcomes


def _attempts(
    due: Sequence[NoticeDelivery], config: AlertConfig, links: Links, deadline: float
) -> Iterator[DeliveryAttempt]:
    """One thread a channel; what it has to say is noted by this one, because one connection writes."""
    said: queue.Queue[tuple[str, DeliveryAttempt | None]] = queue.Queue()
    waiting: dict[str, list[NoticeDelivery]] = defaultdict(list)
    for delivery in due:
        waiting[delivery.channel].append(delivery)
    for name, deliveries in list(waiting.items()):
        work = (name, tuple(deliveries), config, links, deadline, said)
        threading.Thread(target=_channel, args=work, name=f"alerts to {name}", daemon=True).start()
    while waiting:
        try:
            name, outcome = said.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if outcome is None:
            del waiting[name]
        else:
            waiting[name].remove(outcome.delivery)
            yield outcome
    for deliveries in filter(None, waiting.values()):
        yield DeliveryAttempt(deliveries[0], "no answer in time")  # those behind it have not been attempted


def _channel(
    name: str,
    deliveries: Sequence[NoticeDelivery],
    config: AlertConfig,
    links: Links,
    deadline: float,
    said: queue.Queue[tuple[str, DeliveryAttempt | None]],
) -> None:
    """Send on one channel until its end, the deadline, or an attempt that shows that the channel cannot be reached."""
    send: Send | None = None
    for delivery in deliveries:
        left = min(SECONDS_OF_AN_ATTEMPT, deadline - time.monotonic())
        if left <= 0:
            break
        try:
            send = send or open_channel(name, config.channels.get(name))
            send(message(delivery.notice, links), left)
            said.put((name, DeliveryAttempt(delivery)))
        except Refused as refused:
            said.put((name, DeliveryAttempt(delivery, str(refused), refused.wait)))
            if not refused.reachable:
                break
    said.put((name, None))
