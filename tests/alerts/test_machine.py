"""Incidents under any order of failing, passing, looking, sending, refusing and being killed between any two steps."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serving_assets.alerts.alerts_file import AlertsFile
from serving_assets.alerts.incident_store import IncidentStore
from serving_assets.alerts.lifecycle import Rules
from serving_assets.alerts.records import Finding, Incident, Key
from tests.alerts.incidents import ERROR, OK, OWNER, START, WARN

KEYS = [Key("churn", "churn/predictions", kind) for kind in ("coverage", "drift")]
CHANNELS = ("chat", "pager")
LONG = timedelta(days=1000)


class Killed(Exception):
    """The process is gone; what it had not committed never was."""


class Incidents(RuleBasedStateMachine):
    """A source that numbers its events, a process that looks and sends and is killed, and receivers that count."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alerts-"))
        self.now = START
        self.events: list[Finding] = []
        self.episodes = 0
        self.received: dict[str, list[tuple[str, str, str]]] = {channel: [] for channel in CHANNELS}
        self.restart()

    def restart(self) -> None:
        self.book = IncidentStore(AlertsFile(self.folder / "alerts.db"))

    @rule(key=st.sampled_from(KEYS), severity=st.sampled_from([OK, WARN, ERROR]))
    def happens(self, key: Key, severity: int) -> None:
        self.now += timedelta(minutes=1)
        before = [one for one in self.events if one.key == key]
        was_well = not before or before[-1].severity is OK
        found = {OK: OK, WARN: WARN, ERROR: ERROR}[severity]
        self.episodes += was_well and found is not OK
        self.events.append(Finding(key, found, self.now, owners=(OWNER,)))

    @rule(killed=st.booleans())
    def looks(self, killed: bool) -> None:
        """A kill before the commit leaves all as it was; one after it is a kill before the next step."""
        read = (self.book.cursor() or {"read": 0})["read"]
        findings = [*self.events[read:]]
        rules = Rules(
            route=lambda _, severity: CHANNELS if severity is ERROR else CHANNELS[:1],
            escalate=lambda *_: (),
            repeat_error=LONG,
            repeat_warn=LONG,
            repeat_acknowledged=LONG,
        )
        if killed:
            try:
                self.book.observe(self._killed_at_the_end(findings), rules, self.now, {"read": len(self.events)})
            except Killed:
                self.restart()
        else:
            self.book.observe(findings, rules, self.now, {"read": len(self.events)})

    def _killed_at_the_end(self, findings: list[Finding]):  # type: ignore[no-untyped-def]
        yield from findings
        raise Killed

    @rule(outcomes=st.lists(st.sampled_from(["accepted", "refused", "killed after", "killed before"]), max_size=4))
    def sends(self, outcomes: list[str]) -> None:
        self.now += timedelta(minutes=11)
        for delivery, outcome in zip(self.book.outbox.due(self.now), outcomes, strict=False):
            if outcome == "killed before":
                return self.restart()
            if outcome == "refused":
                self.book.outbox.refused(delivery, "503", self.now)
                continue
            notice = delivery.notice
            self.received[delivery.channel].append((notice.key, notice.incident.uid, notice.kind))
            if outcome == "killed after":
                return self.restart()
            self.book.outbox.accepted(delivery, self.now)
        return None

    @rule()
    def restarts(self) -> None:
        self.restart()

    @invariant()
    def at_most_one_open_incident_of_a_key(self) -> None:
        open_now = Counter(one.key for one in self.book.incidents())
        assert all(count == 1 for count in open_now.values())

    def teardown(self) -> None:
        """When all is read and accepted: one opening and one end for each incident, in order, none lost."""
        if not hasattr(self, "folder"):
            return
        self.looks(killed=False)
        while self.book.outbox.undelivered(0):
            self.sends(["accepted"] * 4)
        incidents = self.book.incidents(also_resolved=True)
        assert len(incidents) == self.episodes
        for channel in CHANNELS:
            self._check_channel(channel, incidents)
        shutil.rmtree(self.folder)

    def _check_channel(self, channel: str, incidents: list[Incident]) -> None:
        told = list(dict.fromkeys(self.received[channel]))  # by idempotency key
        assert len({key for key, _, _ in told}) == len(told)
        for incident in incidents:
            kinds = [kind for _, uid, kind in told if uid == incident.uid]
            if channel == "chat" or kinds:
                first = "opened" if channel == "chat" else kinds[0]
                ends = [] if incident.is_open else ["resolved"]
                middle = [kind for kind in kinds[1:] if kind != "resolved"]
                assert kinds == [first, *middle, *ends]
                assert first in ("opened", "worsened")
                assert set(middle) <= {"worsened"}


Incidents.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestIncidents = Incidents.TestCase
