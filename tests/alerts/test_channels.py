"""What each channel receives, from real servers on loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serving_assets.alerts.channels.opening import open_channel
from serving_assets.alerts.channels.refusal import Refused
from serving_assets.alerts.config import Channel
from serving_assets.alerts.lifecycle import acknowledged, opened, resolved
from serving_assets.alerts.message import Message, message
from serving_assets.alerts.records import Days, Failing, Notice
from serving_assets.alerts.shell import Shell
from tests.alerts.incidents import ERROR, LINKS, START, finding
from tests.alerts.receiver import Receiver, mail_server, receiving, self_signed

INCIDENT = replace(
    opened(finding(ERROR, day="2026-02-28"), 7, "abc-7"), notices=1, notified=("it",), announced_at=START
)
OPENED = Notice("opened", START, INCIDENT, ("it",))


def following(kind: str) -> Message:
    """What follows the opening."""
    step = acknowledged if kind == "acknowledged" else resolved
    notice = step(INCIDENT, "ann", "disk replaced", START)[1]
    assert notice is not None
    return message(notice, LINKS)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server on loopback."""
    with receiving() as server:
        yield server


def send(declared: dict[str, object], *messages: Message, name: str = "it") -> None:
    """Send on a channel as it is declared."""
    channel = open_channel(name, Channel.model_validate(declared))
    for one in messages or (message(OPENED, LINKS),):
        channel(one, 5)


def test_a_message_says_what_must_be_known_at_night() -> None:
    """What, where, since when, measured against what, whose, what first, and where to look."""
    told = message(OPENED, LINKS)
    assert told.title == "Error: churn/predictions score drift"
    assert told.text.splitlines() == [
        "What: PSI of the score is 0.31",
        "Where: churn/predictions, 2026-02-28",
        "Since: 2026-03-01 05:00 UTC",
        "Measured: 0.31, threshold 0.25",
        "Owner: team:crm",
        "First: Compare the two distributions.",
        "See: https://dagster.example.com/assets/churn/predictions?view=checks",
        "Runbook: https://example.com/runbooks/score_drift.md",
        "Incident: 7; to acknowledge it: serving-assets alerts ack 7",
    ]
    over = following("resolved")
    assert over.title == "Resolved: churn/predictions score drift"
    assert "Resolved: by ann, 2026-03-01 05:00 UTC: disk replaced" in over.text
    assert "First:" not in over.text


def test_pagerduty_opens_acknowledges_and_resolves_by_one_key(receiver: Receiver) -> None:
    """The three actions of Events API v2 carry the incident's key, so that PagerDuty has one alert of it."""
    declared = {"pagerduty": {"routing_key": "R0UT1NG", "url": f"{receiver.url}/v2/enqueue"}}
    send(declared, message(OPENED, LINKS), following("acknowledged"), following("resolved"))
    trigger, acknowledge, resolve = (request.json for request in receiver.requests)
    assert receiver.requests[0].path == "/v2/enqueue"
    assert trigger["payload"]["summary"] == "Error: churn/predictions score drift. PSI of the score is 0.31"
    assert trigger["payload"]["severity"] == "error"
    assert trigger["payload"]["source"] == "churn/predictions"
    assert trigger["payload"]["timestamp"] == "2026-03-01T05:00:00+00:00"
    assert trigger["payload"]["custom_details"]["First"] == "Compare the two distributions."
    assert [link["text"] for link in trigger["links"]] == ["UI", "Runbook"]
    key = {"routing_key": "R0UT1NG", "dedup_key": "abc-7"}
    assert trigger | key | {"event_action": "trigger"} == trigger
    assert acknowledge == {**key, "event_action": "acknowledge"}
    assert resolve == {**key, "event_action": "resolve"}


def test_a_webhook_is_signed_and_carries_its_key(receiver: Receiver) -> None:
    """The receiver can prove who sent it and when, and drop what it has had."""
    declared = {"webhook": {"url": f"{receiver.url}/alerts", "secret": "s3cret-0123456789"}}
    send(declared)
    send(declared)
    first, second = receiver.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] == "abc-7-1"
    signed = first.headers["X-Serving-Assets-Timestamp"].encode() + b"." + first.body
    expected = hmac.new(b"s3cret-0123456789", signed, hashlib.sha256).hexdigest()
    assert first.headers["X-Serving-Assets-Signature"] == f"sha256={expected}"
    told = first.json
    assert (told["event"], told["incident"], told["severity"]) == ("opened", "abc-7", "error")
    assert (told["use_case"], told["asset"], told["kind"]) == ("churn", "churn/predictions", "score_drift")
    assert (told["measured"], told["threshold"], told["owners"]) == (0.31, 0.25, ["team:crm"])
    assert told["partitions"] == [{"first": "2026-02-28", "last": "2026-02-28"}]


def test_slack_shows_each_fact_on_a_line(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through apprise's plugin, its address alone replaced: facts with links, and no pictures from elsewhere."""
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", receiver.url)
    receiver.answer = lambda _: 200
    send({"apprise": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts"})
    (request,) = receiver.requests
    (attachment,) = request.json["attachments"]
    assert request.json["channel"] == "#alerts"
    assert "Error: churn/predictions score drift" in str(request.json)
    assert attachment["text"].splitlines()[1:4] == [
        "- *Where*: churn/predictions, 2026-02-28",
        "- *Since*: 2026-03-01 05:00 UTC",
        "- *Measured*: 0.31, threshold 0.25",
    ]
    assert "<https://example.com/runbooks/score_drift.md|" in attachment["text"]
    assert (attachment["footer"], "icon_url" in request.json) == ("serving-assets", False)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_teams_gets_a_card(tmp_path: Path) -> None:
    """Through apprise's plugin over TLS: an adaptive card with the title and every fact."""
    with receiving(self_signed(tmp_path)) as receiver:
        send({"apprise": f"workflows://127.0.0.1:{receiver.port}/WORKFLOW/SIGNATURE?verify=no"})
        (request,) = receiver.requests
    assert request.path.startswith("/workflows/WORKFLOW/triggers/manual/paths/invoke")
    card = request.json["attachments"][0]["content"]
    assert card["type"] == "AdaptiveCard"
    texts = [block["text"] for block in card["body"] if block["type"] == "TextBlock"]
    assert texts[0] == "Error: churn/predictions score drift"
    assert "- **Measured**: 0.31, threshold 0.25" in texts[1].splitlines()


def test_what_a_check_said_cannot_break_the_list() -> None:
    """Characters that mean something in Markdown, and line breaks, stand in the message as they were said."""
    odd = replace(INCIDENT, last=replace(INCIDENT.last, message="a < b * c\n- [x](y) `z`"))
    text = message(replace(OPENED, incident=odd), LINKS).markdown.splitlines()[0]
    assert text == r"- **What**: a \< b \* c - \[x](y) \`z\`"


def test_mail_has_the_title_as_its_subject() -> None:
    """Through apprise over real SMTP."""
    with mail_server() as (port, mails):
        send({"apprise": f"mailto://127.0.0.1:{port}?mode=insecure&from=a@example.com&to=oncall@example.com"})
    (mail,) = mails
    assert mail["Subject"] == "Error: churn/predictions score drift"
    assert "oncall@example.com" in mail["To"]
    html, text = (mail.get_body((kind,)) for kind in ("html", "plain"))
    assert html is not None
    assert "<li><strong>Measured</strong>: 0.31, threshold 0.25</li>" in html.get_content()
    assert text is not None
    assert "- Measured: 0.31, threshold 0.25" in text.get_content()


def test_standard_output_has_one_block_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    """A title, and the facts below it."""
    open_channel("stdout", None)(message(OPENED, LINKS), 5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ALERT Error: churn/predictions score drift"
    assert lines[1] == "  What: PSI of the score is 0.31"


@pytest.mark.parametrize("way", ["pagerduty", "webhook", "apprise"])
def test_a_refusal_says_why_and_shows_no_secret(receiver: Receiver, way: str) -> None:
    """The answer of the server is told; keys, secrets and secret addresses are not, even when it repeats them."""
    secret = "S3CR3TS3CR3TS3CR3T"
    declared: dict[str, dict[str, object]] = {
        "pagerduty": {"pagerduty": {"routing_key": secret, "url": f"{receiver.url}/{secret}"}},
        "webhook": {"webhook": {"url": f"{receiver.url}/{secret}", "secret": secret}},
        "apprise": {"apprise": f"json://user:{secret}@127.0.0.1:{receiver.port}/{secret}"},
    }
    receiver.answer = lambda _: 403
    with pytest.raises(Refused) as caught:
        send(declared[way])
    assert secret not in str(caught.value)
    assert "403" in str(caught.value)


def test_a_server_that_is_not_there_is_told(receiver: Receiver) -> None:
    """No answer is a refusal that lets nothing else try the channel right now."""
    with pytest.raises(Refused, match="did not answer") as caught:
        send({"webhook": {"url": "http://127.0.0.1:9/x", "secret": "0123456789abcdef"}})
    assert not caught.value.reachable


def test_a_redirection_is_not_followed(receiver: Receiver) -> None:
    """What is signed for one address goes to no other."""
    receiver.answer = lambda _: 307
    with pytest.raises(Refused, match="307"):
        send({"webhook": {"url": f"{receiver.url}/x", "secret": "0123456789abcdef"}})
    assert len(receiver.requests) == 1


def test_an_address_that_apprise_does_not_know_is_told_without_it() -> None:
    """Only its scheme is shown."""
    with pytest.raises(Refused, match="nosuch://") as caught:
        send({"apprise": "nosuch://token-that-is-secret"})
    assert "token" not in str(caught.value)


def test_a_message_has_at_most_two_thousand_characters() -> None:
    """Whatever a step said, however many days fail and owners there are: the links stay whole, and all is bounded."""
    wordy = replace(finding(ERROR), message="a < b\n" * 5_000, first_step="*" * 5_000, owners=("team:x" * 50,) * 200)
    days = tuple(Failing(Days(f"d{n:04}", f"d{n:04}"), START, ERROR, False) for n in range(3_000))
    shell = Shell("host", "export X=" + "y" * 700)
    odd = replace(INCIDENT, last=wordy, failing=days, note="n" * 5_000, acknowledged_at=START)
    for links in (LINKS, replace(LINKS, shell=shell), replace(LINKS, shell=replace(shell, line="z" * 3_000))):
        found = message(replace(OPENED, incident=odd), links)
        assert len(found.title) + len(found.markdown) < 2_000
        assert len(found.text) <= len(found.markdown)
        assert f"Runbook: {LINKS.runbook(wordy)}" in found.text
        assert len(found.fields["partitions"]) == 20
        assert found.fields["partitions_total"] == 3_000
        assert len(json.dumps(found.fields)) < 20_000
    assert found.text.startswith("What: a < b")
