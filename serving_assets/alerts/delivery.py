"""Delivery of what is in the outbox: each channel in a thread of its own, so that none delays another.

Here: threads, time limits, and the record of each attempt. Not here: which attempt is due when (outbox.py).
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
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
    """The result of one attempt; `error` is empty when the channel has accepted the message."""

    delivery: NoticeDelivery
    error: str = ""
    wait: timedelta | None = None


def deliver(
    book: IncidentStore,
    config: AlertConfig,
    links: Links,
    *,
    without: Collection[str] = (),
    seconds: float = SECONDS_OF_A_ROUND,
    now: datetime | None = None,
) -> list[DeliveryAttempt]:
    """Send all that is due, except on the channels `without`, and record the results.

    Must be called by one process at a time. After `seconds`, an attempt without an answer counts as failed; it is
    repeated with the same key.
    """
    attempts = []
    deadline = time.monotonic() + seconds
    asked: set[int] = set()
    while time.monotonic() < deadline:
        found = book.outbox.due(now or datetime.now(UTC))
        due = [one for one in found if one.id not in asked and one.channel not in without]
        if not due:
            break
        asked |= {one.id for one in due}
        for attempt in _attempts(due, config, links, deadline):
            attempts.append(attempt)
            if attempt.error:
                book.outbox.refused(attempt.delivery, attempt.error, now or datetime.now(UTC), attempt.wait)
            else:
                book.outbox.accepted(attempt.delivery, now or datetime.now(UTC))
    return attempts


def _attempts(
    due: Sequence[NoticeDelivery], config: AlertConfig, links: Links, deadline: float
) -> Iterator[DeliveryAttempt]:
    """One thread per channel; this thread records their results, because one connection writes."""
    results: queue.Queue[tuple[str, DeliveryAttempt | None]] = queue.Queue()
    waiting: dict[str, list[NoticeDelivery]] = defaultdict(list)
    for delivery in due:
        waiting[delivery.channel].append(delivery)
    for name, deliveries in list(waiting.items()):
        work = (name, tuple(deliveries), config, links, deadline, results)
        threading.Thread(target=_channel, args=work, name=f"alerts to {name}", daemon=True).start()
    while waiting:
        try:
            name, attempt = results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if attempt is None:
            del waiting[name]
        else:
            waiting[name].remove(attempt.delivery)
            yield attempt
    for deliveries in filter(None, waiting.values()):
        yield DeliveryAttempt(deliveries[0], "no answer in time")  # those behind it have not been attempted


def _channel(
    name: str,
    deliveries: Sequence[NoticeDelivery],
    config: AlertConfig,
    links: Links,
    deadline: float,
    results: queue.Queue[tuple[str, DeliveryAttempt | None]],
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
            results.put((name, DeliveryAttempt(delivery)))
        except Refused as refused:
            results.put((name, DeliveryAttempt(delivery, str(refused), refused.wait)))
            if not refused.reachable:
                break
    results.put((name, None))
