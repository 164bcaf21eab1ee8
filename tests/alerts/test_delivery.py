"""Delivery over channels that refuse, hang and come back: nothing is lost, nothing holds up anything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from serving_assets.alerts.channels.refusal import Refused
from serving_assets.alerts.config import STDOUT, parse_config
from serving_assets.alerts.delivery import deliver
from serving_assets.alerts.outbox import GIVEN_UP_AFTER
from serving_assets.alerts.records import Key
from serving_assets.alerts.trial import try_channels
from tests.alerts.incidents import ERROR, LINKS, OK, OWNER, START, Desk, finding
from tests.alerts.receiver import Receiver, receiving

Hooks = tuple[Desk, Receiver, Receiver]


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    """A desk with two webhooks, one: and other:, for errors."""
    with ExitStack() as servers:
        one, other = (servers.enter_context(receiving()) for _ in range(2))
        config = f"""
channels:
  one: {{webhook: {{url: "{one.url}/a", secret: 0123456789abcdef}}}}
  other: {{webhook: {{url: "{other.url}/a", secret: 0123456789abcdef}}}}
default: {{notify: [one, other]}}
"""
        yield Desk(tmp_path, config), one, other


def events(receiver: Receiver) -> list[str]:
    """What a receiver was told, in order."""
    return [request.json["event"] for request in receiver.requests]


def test_a_refused_notice_is_sent_again_with_the_same_key(hooks: Hooks) -> None:
    """Retries wait longer each time, carry the same key, and end with acceptance; the other channel hears it once."""
    desk, one, other = hooks
    one.answer = lambda _: 503 if len(one.requests) < 3 else 202
    desk.look(finding(ERROR))
    waits = []
    while desk.book.outbox.undelivered(0):
        assert desk.deliver()
        waits.append(0)
        while desk.book.outbox.undelivered() and not desk.book.outbox.due(desk.now):
            desk.now += timedelta(seconds=1)
            waits[-1] += 1
    assert waits == [5, 10, 0]
    assert len({request.headers["Idempotency-Key"] for request in one.requests}) == 1
    assert events(other) == ["opened"]


def test_the_end_waits_for_the_beginning(hooks: Hooks) -> None:
    """A channel that was down is told first that it began, then that it is over."""
    desk, one, other = hooks
    one.answer = lambda _: 500
    desk.look(finding(ERROR))
    desk.deliver()
    desk.look(finding(OK, 1), minutes=1)
    desk.deliver()
    assert events(other) == ["opened", "resolved"]
    one.answer = lambda _: 202
    desk.look(minutes=30)
    desk.deliver()
    desk.deliver()
    assert list(dict.fromkeys(events(one))) == ["opened", "resolved"]


def test_a_channel_that_hangs_delays_no_other(hooks: Hooks) -> None:
    """The other channel has its notice while the first has not answered, and the attempt counts as failed."""
    desk, one, other = hooks
    one.answer = lambda _: "hang"
    desk.look(finding(ERROR), finding(ERROR, key=Key("churn", "churn/features", "nulls")))
    began = time.monotonic()
    outcomes = desk.deliver(seconds=1)
    assert time.monotonic() - began < 8
    assert len(events(other)) == 2
    assert [bool(o.error) for o in outcomes if o.delivery.channel == "other"] == [False, False]
    (failed,) = desk.book.outbox.undelivered()
    assert (failed.channel, failed.attempts) == ("one", 1)


def test_an_answer_that_got_lost_doubles_nothing_by_key(hooks: Hooks) -> None:
    """The receiver took it in and the connection ended: it is sent again, and the key tells that it is the same."""
    desk, one, _ = hooks
    one.answer = lambda _: "cut" if len(one.requests) == 1 else 202
    desk.look(finding(ERROR))
    desk.deliver()
    desk.now += timedelta(minutes=1)
    desk.deliver()
    assert len(one.requests) == 2
    assert len({request.headers["Idempotency-Key"] for request in one.requests}) == 1


def test_a_channel_may_ask_to_wait(hooks: Hooks) -> None:
    """Retry-After is honoured."""
    desk, one, _ = hooks
    one.answer, one.wait_seconds = lambda _: 429, "120"
    desk.look(finding(ERROR))
    desk.deliver()
    assert desk.book.outbox.due(desk.now + timedelta(seconds=119)) == []
    assert len(desk.book.outbox.due(desk.now + timedelta(seconds=121))) == 1


def test_what_was_refused_for_a_week_is_given_up_visibly(hooks: Hooks) -> None:
    """It is listed with its error, and what comes after it goes on."""
    desk, one, _ = hooks
    one.answer = lambda _: 500
    desk.look(finding(ERROR))
    desk.deliver()
    desk.now = START + GIVEN_UP_AFTER + timedelta(minutes=1)
    desk.deliver()
    (left,) = desk.book.outbox.undelivered()
    assert (left.state, left.channel) == ("given up", "one")
    assert "answered 500" in left.error
    one.answer = lambda _: 202
    desk.look(finding(OK, 60 * 24 * 8), minutes=60 * 24 * 8)
    desk.deliver()
    assert events(one)[-1] == "resolved"


def test_a_channel_that_was_removed_is_told(hooks: Hooks) -> None:
    """A notice to a channel that is no longer declared does not vanish."""
    desk, _, _ = hooks
    desk.look(finding(ERROR))
    desk.config = parse_config("", "alerts.yaml", {})
    assert {outcome.error for outcome in desk.deliver()} == {
        "the configuration declares no channel 'one' any more",
        "the configuration declares no channel 'other' any more",
    }


def test_only_one_process_delivers_at_a_time(hooks: Hooks) -> None:
    """The lock is free again when its holder has let go."""
    file = hooks[0].book.file
    with file.alone() as first, file.alone() as second:
        assert (first, second) == (True, False)
    with file.alone() as third:
        assert third


def test_a_trial_reaches_every_channel_of_an_owner(hooks: Hooks) -> None:
    """It tells of each channel whether it accepted, and leaves nothing in the book."""
    desk, one, other = hooks
    other.answer = lambda _: 404
    tried = try_channels(desk.config, OWNER, LINKS, START)
    assert tried["one"] == ""
    assert "answered 404" in tried["other"]
    assert one.requests[0].json["message"] == "A test of the channels of team:crm. Nothing is wrong."
    assert desk.told() == []


def test_standard_output_that_is_closed_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon without an output keeps its notices."""
    import io
    import sys

    from serving_assets.alerts.channels.opening import open_channel
    from serving_assets.alerts.lifecycle import opened
    from serving_assets.alerts.message import message
    from serving_assets.alerts.records import Notice

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    notice = Notice("opened", START, opened(finding(ERROR), 1, "a-1"), ("stdout",))
    with pytest.raises(Refused, match="closed"):
        open_channel("stdout", None)(message(notice, LINKS), 1)


def test_a_command_leaves_standard_output_to_the_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A notice for standard output, the daemon's log, waits for it when a command delivers what is due."""
    desk = Desk(tmp_path)
    desk.look(finding(ERROR))
    assert deliver(desk.book, desk.config, LINKS, without=(STDOUT,), now=desk.now) == []
    assert capsys.readouterr().out == ""
    assert [attempt.error for attempt in desk.deliver()] == [""]
    assert "ALERT Error" in capsys.readouterr().out
