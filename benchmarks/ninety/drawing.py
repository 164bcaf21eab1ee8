"""Which faults go wrong on which days, drawn by a seed, and a life with them.

Here: the drawing, when each fault begins and ends, and who fixes it. Not here: the kinds (faults.py).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

from benchmarks.ninety.alerting import reached
from benchmarks.ninety.faults import KINDS, Kind
from benchmarks.ninety.life import DELIVERED, FIXED, Life
from benchmarks.ninety.scoring import Injected
from serving_assets.demo import TIMEZONE

FIXING = timedelta(minutes=59)
"""How long the fix may take: what is told until then belongs to the fault, what is told later does not."""
QUIET_DAYS = 2
"""Days without any fault after each fix."""
FIRST_FAULT = 3


@dataclass(frozen=True)
class Fault:
    """A kind of fault on `days` days, `day` being the first that is delivered, or run, with it."""

    kind: Kind
    day: date
    days: int

    def holds(self, day: date) -> bool:
        """Whether a day is one of its own."""
        return self.day <= day < self.day + timedelta(days=self.days)

    def injected(self, life: Life) -> Injected:
        """How it is scored: from the delivery of its first day until its last has been fixed."""
        begin, end = self.day + timedelta(days=1), self.day + timedelta(days=self.days + 1)
        reaches = frozenset(asset for touched in self.kind.touches for asset in reached(life.watch.graph, touched))
        return Injected(
            self.kind.name, self.day, self.days, _local(begin, DELIVERED), _local(end, FIXED) + FIXING, reaches
        )


def drawn(seed: int, first: date, days: int, count: int) -> list[Fault]:
    """`count` faults between `first` and `days` days later, of as many kinds as there are, by chance.

    Raises:
        ValueError: when so many days do not hold so many faults.
    """
    chance = random.Random(seed)
    kinds: list[Kind] = []
    while len(kinds) < count:
        kinds += chance.sample(list(KINDS.values()), len(KINDS))
    kinds = kinds[:count]
    chance.shuffle(kinds)
    lengths = [chance.choice([1, 1, *range(1, kind.most_days + 1)]) for kind in kinds]
    spare = days - FIRST_FAULT - sum(lengths) - QUIET_DAYS * count
    if spare < 0:
        raise ValueError(f"{days} days do not hold {count} faults: {-spare} more are needed.")
    offsets = sorted(chance.randint(0, spare) for _ in kinds)
    found, used = [], FIRST_FAULT
    for kind, length, offset in zip(kinds, lengths, offsets, strict=True):
        found.append(Fault(kind, first + timedelta(days=used + offset), length))
        used += length + QUIET_DAYS
    return found


def live_with(life: Life, faults: Sequence[Fault], first: date, days: int) -> None:
    """Live `days` days from `first` on, each fault at its time and fixed in the morning after it."""
    life.begin(first)
    for day in (first + timedelta(days=n) for n in range(days)):
        fault = next((found for found in faults if found.holds(day)), None)
        if fault is None:
            life.live(day)
            continue
        life.live(day, fault.kind.late, fault.kind.deliver, fault.kind.spoil)
        if not fault.holds(day + timedelta(days=1)):
            life.fix([fault.day + timedelta(days=each) for each in range(fault.days)], fault.kind.fix)


def _local(day: date, at: str) -> datetime:
    return datetime.combine(day, time_of_day.fromisoformat(at), ZoneInfo(TIMEZONE))
