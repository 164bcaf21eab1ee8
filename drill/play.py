"""One fault, from its injection to the proof that it is over.

Here: the order of a play, the waiting, and what is held against the expectation. Not here: the faults themselves
(faults.py), or how a result is shown (report.py).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from drill.alerts import Inbox, Notice, Subject
from drill.calendar import as_of, at
from drill.clock import Clock
from drill.dagster_side import Observer
from drill.processes import Database, Processes
from drill.watcher import Seen, Watcher
from drill.world import World

STEP_SECONDS, PAUSE_SECONDS = 50.0, 6.0
"""How far the clock is moved on while nothing happens, and how long the daemon gets to notice each time."""
QUIET_STEPS = 3
"""After so many steps without anything, only what has its minute can happen: then to the next fifth minute."""
REAL_SECONDS = 1200
OTHER = "basket_propensity"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: for `--only`; `what`: what goes wrong, `fix`: what is done about it, in a few words.
        inject: does it, on the day given; returns the moment from which it could be known.
        detected_by: the incidents that must be opened; `consequences`: those that may follow.
        blocked: the first asset that must not have been made of it; '' where nothing is blocked.
        heal: does what `fix` says.
        hangs: whether a run that does not end is what is waited with, and not for.
        begin: when its morning begins, given its day.
    """

    name: str
    what: str
    fix: str
    inject: Callable[[Drill, date], datetime]
    heal: Callable[[Drill, date], None]
    detected_by: frozenset[Subject]
    blocked: str
    consequences: frozenset[Subject] = frozenset()
    hangs: bool = False
    begin: Callable[[date], datetime] = lambda day: at(day + timedelta(days=1), "04:58")


@dataclass
class Result:
    """What came of one fault. `missed` says what was not as expected."""

    fault: Fault
    day: date
    notices: list[Notice] = field(default_factory=list)
    detected_after: float | None = None
    not_made: list[str] = field(default_factory=list)
    meanwhile: Seen = field(default_factory=Seen)
    afterwards: Seen = field(default_factory=Seen)
    resolved_after: float | None = None
    missed: list[str] = field(default_factory=list)


@dataclass
class Drill:
    """All that a fault can lay its hands on."""

    world: World
    processes: Processes
    database: Database
    inbox: Inbox
    observer: Observer
    watcher: Watcher
    notes: dict[str, object] = field(default_factory=dict)
    _leapt: float = 0.0
    _leapt_at: float = 0.0
    _quiet: int = 0

    @property
    def clock(self) -> Clock:
        """Of the world."""
        return self.world.clock

    def leap_to(self, moment: datetime) -> None:
        """Move the clock on, and wait until the daemon has looked and nothing is at work."""
        self.settle()
        self.clock.leap_to(moment)
        self._leapt, self._leapt_at, self._quiet = time.time(), time.monotonic(), 0

    def settle(self) -> None:
        """Wait, at the pace of the machine, until no run is queued or at work."""
        self.wait_for(lambda: not self.observer.unfinished() and self._noticed(), "nothing is at work", moving=False)

    def wait_for(self, condition: Callable[[], object], what: str, *, moving: bool = True, hangs: bool = False) -> None:
        """Wait for a condition; the clock is moved on whenever nothing happens.

        Raises:
            TimeoutError: it does not come about.
        """
        deadline = time.monotonic() + REAL_SECONDS
        while not condition():
            self.processes.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"Not after {REAL_SECONDS / 60:.0f} minutes: {what}")
            time.sleep(0.5)
            if moving and self._noticed() and (hangs or not self.observer.unfinished()):
                self._step(hangs=hangs)
            elif self.observer.unfinished():
                self._quiet = 0

    def _noticed(self) -> bool:
        """Whether the daemon has had the time to see what the clock says."""
        paused = time.monotonic() - self._leapt_at > PAUSE_SECONDS
        return paused and self.observer.looked_at() > self._leapt and self.observer.is_scheduled(self.clock.now())

    def _step(self, *, hangs: bool) -> None:
        self._quiet += 1
        seconds = STEP_SECONDS
        if self._quiet > QUIET_STEPS:
            seconds = 301 - time.time() % 300
        if hangs:
            seconds = max(seconds, 600.0)
        self.clock.leap(seconds)
        self._leapt, self._leapt_at = time.time(), time.monotonic()


def pass_over(drill: Drill, first: date, last: date) -> None:
    """Days without a fault, which lie between two that are asked for."""
    if first <= last:
        drill.leap_to(at(last + timedelta(days=1), "04:50"))
        drill.world.make(first, last)


def play(drill: Drill, fault: Fault, day: date) -> Result:
    """Inject, wait until it is detected, fix, and wait until it is over."""
    result = Result(fault, day)
    drill.leap_to(fault.begin(day))
    drill.watcher.take()
    drill.wait_for(lambda: drill.watcher.take().predictions, "readers get answers", moving=False)
    begun, before = drill.clock.now(), drill.observer.published()[0]
    told(f"{fault.name}: {fault.what}")
    with _missing(result):
        _detect(drill, fault, result, begun)
    with _missing(result):
        _hold_back(drill, fault, result, begun, before)
    with _missing(result):
        _mend(drill, fault, result, begun)
    result.notices = drill.inbox.since(begun)
    result.afterwards = drill.watcher.take()
    _judge(drill, fault, result)
    return result


@contextmanager
def _missing(result: Result) -> Iterator[None]:
    """What goes wrong is told, and the play goes on: the next fault needs a workspace in which this one was fixed."""
    try:
        yield
    except (TimeoutError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        result.missed.append(str(error))


def _detect(drill: Drill, fault: Fault, result: Result, begun: datetime) -> None:
    injected = fault.inject(drill, result.day)
    drill.wait_for(lambda: not _undetected(drill, fault, begun), f"{fault.name} is detected", hangs=fault.hangs)
    opened = [n for n in drill.inbox.since(begun) if n.event == "opened" and n.subject in fault.detected_by]
    if opened:
        result.detected_after = (min(n.at for n in opened) - injected).total_seconds()
        told(f"  detected after {result.detected_after:.0f} s: {', '.join(n.title for n in opened)}")
    if not fault.hangs:
        drill.settle()


def _undetected(drill: Drill, fault: Fault, begun: datetime) -> frozenset[Subject]:
    opened = {notice.subject for notice in drill.inbox.since(begun) if notice.event == "opened"}
    return fault.detected_by - opened


def _hold_back(drill: Drill, fault: Fault, result: Result, begun: datetime, before: int) -> None:
    """Whether what should be blocked was, and readers still have what they had."""
    result.not_made = drill.observer.not_made(result.day, begun)
    result.meanwhile = drill.watcher.take()
    if fault.blocked and fault.blocked not in result.not_made:
        result.missed.append(f"{fault.blocked} was made")
    if fault.blocked:
        if result.meanwhile.generations.keys() - {before}:
            result.missed.append(f"readers got generations {sorted(result.meanwhile.generations)}, not {before}")
        if not result.meanwhile.predictions:
            result.missed.append("readers got nothing")


def _mend(drill: Drill, fault: Fault, result: Result, begun: datetime) -> None:
    fixed = drill.clock.now()
    fault.heal(drill, result.day)
    drill.wait_for(lambda: _over(drill, result.day, begun), f"{fault.name} is over")
    drill.settle()
    result.resolved_after = (_ended(drill, begun, fixed) - fixed).total_seconds()
    told(f"  over {result.resolved_after:.0f} s after the fix")


def _over(drill: Drill, day: date, begun: datetime) -> bool:
    published = datetime.fromisoformat(drill.observer.published()[1])
    errors = [n for n in drill.inbox.open(begun) if n.severity == "error" and _counts(n)]
    return published >= as_of(day) and not errors


def _ended(drill: Drill, begun: datetime, fixed: datetime) -> datetime:
    ends = [n.at for n in drill.inbox.since(begun) if n.event == "resolved" and _counts(n)]
    return max([*ends, datetime.fromisoformat(drill.observer.published()[2]), fixed])


def _judge(drill: Drill, fault: Fault, result: Result) -> None:
    """What was told that should not have been, and what anybody could read that is not right."""
    known = fault.detected_by | fault.consequences
    for notice in result.notices:
        if notice.event == "opened" and notice.severity == "error" and _counts(notice) and notice.subject not in known:
            result.missed.append(f"unexpected: {notice.title}: {notice.said}")
    for seen in (result.meanwhile, result.afterwards):
        result.missed += [f"wrong prediction read: {wrong}" for wrong in seen.wrong[:3]]
    held = drill.watcher.right.wrong(*drill.observer.documents())
    result.missed += [f"wrong prediction in the store: {wrong}" for wrong in held[:3]]
    for missed in result.missed:
        told(f"  MISSED {missed}")


def _counts(notice: Notice) -> bool:
    """The other use case is switched off, so that its days are late says nothing."""
    return notice.scope != OTHER


def told(line: str) -> None:
    """Progress, with the machine's clock left out: the drill has its own."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
