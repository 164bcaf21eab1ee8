"""The life of an incident: what opens, joins, worsens and ends it, and what is told when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from serving_assets.alerts.records import AlertsError, Finding, Key
from tests.alerts.incidents import ERROR, KEY, OK, START, WARN, Desk, finding

CHANNELS = """
channels:
  chat: {apprise: "json://localhost"}
  pager: {pagerduty: {routing_key: k}}
  boss: {apprise: "json://localhost"}
owners:
  team:crm: {notify: [chat], page: [pager, chat], escalate: [boss]}
"""
D1, D2, D3 = "2026-02-26", "2026-02-27", "2026-02-28"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """With the built-in configuration."""
    return Desk(tmp_path)


@pytest.fixture
def routed(tmp_path: Path) -> Desk:
    """With channels by severity."""
    return Desk(tmp_path, CHANNELS)


def settle(desk: Desk) -> None:
    """Have every channel accept everything that is due."""
    while due := desk.book.outbox.due(desk.now):
        for delivery in due:
            desk.book.outbox.accepted(delivery, desk.now)


def test_an_incident_is_told_once_and_its_end_once(desk: Desk) -> None:
    """However often a check fails, one notice opens its incident; and one ends it when the check passes."""
    for minutes in range(5):
        desk.look(finding(ERROR, minutes), minutes=minutes)
    assert desk.kinds() == ["opened"]
    assert desk.book.incidents()[0].evaluations == 5
    for minutes in range(5, 8):
        desk.look(finding(OK, minutes), minutes=minutes)
    assert desk.kinds() == ["opened", "resolved"]
    assert desk.book.incidents() == []
    desk.look(finding(WARN, 9), minutes=9)
    assert desk.kinds() == ["opened", "resolved", "opened"]
    assert [one.number for one in desk.book.incidents(also_resolved=True)] == [1, 2]


def test_what_begins_and_ends_between_two_looks_is_told(desk: Desk) -> None:
    """A daemon that was away tells of what it missed, in order."""
    desk.look(finding(ERROR, 1), finding(OK, 2), finding(WARN, 3), finding(OK, 4), minutes=60)
    assert desk.kinds() == ["opened", "resolved", "opened", "resolved"]


@pytest.mark.parametrize(
    ("failing", "then", "is_over"),
    [
        pytest.param(finding(ERROR, 0, D1), finding(OK, 1, D1), True, id="the-same-day"),
        pytest.param(finding(ERROR, 0, D1), finding(OK, 1, D2), True, id="a-newer-day"),
        pytest.param(finding(ERROR, 0, D2), finding(OK, 1, D1), False, id="an-older-day"),
        pytest.param(finding(ERROR, 0, D1, lasting=True), finding(OK, 1, D2), False, id="a-newer-day-does-not-fix"),
        pytest.param(finding(ERROR, 0, D1, lasting=True), finding(OK, 1, D1), True, id="its-own-fix"),
        pytest.param(
            finding(ERROR, 0, D1, lasting=True), finding(OK, 1, D1, until=D3), True, id="a-range-around-the-day"
        ),
        pytest.param(
            finding(ERROR, 0, D1, until=D3, lasting=True), finding(OK, 1, D2), False, id="a-part-of-the-range"
        ),
        pytest.param(finding(ERROR, 5, D1), finding(OK, 1, D1), False, id="a-pass-from-before"),
        pytest.param(finding(ERROR, 0), finding(OK, 0), True, id="without-days-at-the-same-instant"),
    ],
)
def test_what_ends_an_incident(desk: Desk, failing: Finding, then: Finding, is_over: bool) -> None:
    """Only what fixes the failing day ends an incident; a newer day does where no later day reads the failing one."""
    desk.look(failing, minutes=5)
    desk.look(then, minutes=6)
    assert (desk.book.incidents() == []) is is_over


def test_days_of_one_check_are_one_incident(desk: Desk) -> None:
    """Sixty bad days of a backfill call nobody sixty times, and the incident is over with the last of them."""
    days = [f"2026-01-{day:02}" for day in range(1, 31)]
    desk.look(*(finding(ERROR, n, day, lasting=True) for n, day in enumerate(days)), minutes=60)
    assert desk.kinds() == ["opened"]
    desk.look(*(finding(OK, 70, day) for day in days[1:]), minutes=70)
    (left,) = desk.book.incidents()
    assert [one.days.first for one in left.failing] == days[:1]
    desk.look(finding(OK, 80, days[0]), minutes=80)
    assert desk.kinds() == ["opened", "resolved"]


def test_severity_decides_who_is_called(routed: Desk) -> None:
    """A warning notifies; when it becomes an error it pages; whoever was told of it is told that it is over."""
    routed.look(finding(WARN, 0), minutes=0)
    routed.look(finding(ERROR, 1), minutes=1)
    routed.look(finding(WARN, 2), minutes=2)
    routed.look(finding(OK, 3), minutes=3)
    assert routed.told() == [
        "opened chat",
        "worsened chat",
        "worsened pager",
        "resolved chat",
        "resolved pager",
    ]


def test_an_open_incident_is_told_again_after_its_interval(routed: Desk) -> None:
    """The interval begins when a channel has accepted the notice, and nothing queues up behind one that has not."""
    routed.look(finding(WARN), minutes=0)
    routed.look(minutes=60 * 48)
    assert routed.told() == ["opened chat"]
    settle(routed)
    routed.look(minutes=60 * 71)
    assert routed.told() == ["opened chat"]
    routed.look(minutes=60 * 72)
    assert routed.told() == ["opened chat", "repeated chat"]
    settle(routed)
    routed.look(finding(OK, 60 * 80), minutes=60 * 80)
    settle(routed)
    routed.look(minutes=60 * 500)
    assert routed.told()[2:] == ["resolved chat"]


def test_an_error_that_nobody_takes_escalates_once(routed: Desk) -> None:
    """After half an hour whoever comes next is told too, once, and hears the end of it."""
    routed.look(finding(ERROR), minutes=0)
    settle(routed)
    routed.look(minutes=29)
    routed.look(minutes=31)
    routed.look(minutes=200)
    assert routed.told()[2:] == ["escalated pager", "escalated chat", "escalated boss"]
    routed.look(finding(OK, 201), minutes=201)
    assert "resolved boss" in routed.told()


def test_what_somebody_has_taken_neither_escalates_nor_repeats_soon(routed: Desk) -> None:
    """An acknowledgement is told to whoever was called, and the incident is told again only after a day."""
    routed.look(finding(ERROR), minutes=0)
    taken = routed.book.acknowledge(1, "ann", "on it", START)
    assert (taken.acknowledged_by, taken.note) == ("ann", "on it")
    settle(routed)
    routed.look(minutes=60 * 23)
    assert routed.kinds() == ["opened", "opened", "acknowledged", "acknowledged"]
    routed.look(minutes=60 * 24)
    assert routed.kinds()[4:] == ["repeated", "repeated"]


def test_an_acknowledged_warning_that_becomes_an_error_calls_again(routed: Desk) -> None:
    """Whoever took a warning has not taken the error."""
    routed.look(finding(WARN), minutes=0)
    routed.book.acknowledge(1, "ann", "", START)
    routed.look(finding(ERROR, 1), minutes=1)
    assert routed.told()[-2:] == ["worsened chat", "worsened pager"]
    assert routed.book.incidents()[0].acknowledged_by == ""


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        ("churn", True),
        ("churn/predictions", True),
        ("churn/predictions:score_drift", True),
        ("churn/*:score_*", True),
        ("churn/features", False),
        ("chur", False),
    ],
)
def test_a_silence_withholds_until_it_ends(desk: Desk, pattern: str, covers: bool) -> None:
    """What a silence covers is not told; what is still open when it ends is told then."""
    desk.book.silence(pattern, "ann", "known", START, START + timedelta(hours=1))
    desk.look(finding(ERROR), minutes=1)
    assert desk.kinds() == ([] if covers else ["opened"])
    assert len(desk.book.incidents()) == 1
    desk.look(minutes=61)
    assert desk.kinds() == ["opened"]


def test_what_was_silent_all_along_is_never_told(desk: Desk) -> None:
    """Nobody hears that something is over of which nobody heard that it began."""
    made = desk.book.silence("churn", "ann", "", START, START + timedelta(hours=1))
    desk.look(finding(ERROR), minutes=1)
    desk.look(finding(OK, 2), minutes=2)
    assert desk.kinds() == []
    assert desk.book.unsilence(made.number, desk.now).until == desk.now
    assert desk.book.silences(desk.now) == []


def test_an_incident_that_was_told_ends_also_in_a_silence(desk: Desk) -> None:
    """A pager must not stay red because somebody wanted quiet."""
    desk.look(finding(ERROR), minutes=0)
    desk.book.silence("churn", "ann", "", START, START + timedelta(hours=1))
    desk.look(finding(OK, 1), minutes=1)
    assert desk.kinds() == ["opened", "resolved"]


def test_resolving_by_hand_ends_it_until_it_fails_again(desk: Desk) -> None:
    """The next failing evaluation opens a new incident."""
    desk.look(finding(ERROR), minutes=0)
    over = desk.book.resolve(1, "ann", "accepted", START + timedelta(minutes=1))
    assert (over.resolved_by, desk.kinds()) == ("ann", ["opened", "resolved"])
    desk.look(finding(ERROR, 2), minutes=2)
    assert [one.number for one in desk.book.incidents()] == [2]


def test_only_what_is_there_can_be_taken(desk: Desk) -> None:
    """A number that is not open is told, with what lists the others."""
    desk.look(finding(ERROR), minutes=0)
    desk.book.resolve(1, "ann", "", START)
    for number in (1, 7):
        with pytest.raises(AlertsError, match=f"No incident {number} is open"):
            desk.book.acknowledge(number, "ann", "", START)
    with pytest.raises(AlertsError, match="No silence 3"):
        desk.book.unsilence(3, START)


def test_incidents_of_other_keys_are_others(desk: Desk) -> None:
    """Use case, asset and kind each make an incident of its own."""
    keys = [KEY, Key("churn", "churn/predictions", "coverage"), Key("churn", "churn/features", "score_drift")]
    desk.look(*(finding(ERROR, key=key) for key in keys))
    assert {one.key for one in desk.book.incidents()} == set(keys)
