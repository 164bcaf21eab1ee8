"""The commands of whoever takes alerts, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serving_assets.cli import app
from serving_assets.settings import get_settings
from tests.alerts.receiver import Receiver, receiving
from tests.alerts.small import World

Typed = Callable[..., Result]
CONFIG = """
channels: {{hook: {{webhook: {{url: "{url}/a", secret: 0123456789abcdef}}}}}}
owners: {{team:crm: {{notify: [hook]}}}}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server on loopback."""
    with receiving() as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver) -> World:
    """A workspace in which one check fails as an error, and has been told."""
    made = World(tmp_path / "world", CONFIG.format(url=receiver.url))
    made.look()
    made.fails("churn/predictions")
    made.make("churn/predictions", "2026-01-01")
    made.look()
    return made


@pytest.fixture
def typed(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    """Types a command under `serving-assets alerts` in the workspace."""
    monkeypatch.setenv("DATA_DIR", str(world.settings.data_dir))
    monkeypatch.setenv("ALERTS_CONFIG", str(world.file))
    get_settings.cache_clear()
    yield lambda *words: CliRunner().invoke(app, ["alerts", *words])
    get_settings.cache_clear()


def test_a_night_with_one_incident(typed: Typed, receiver: Receiver, world: World) -> None:
    """List, take, silence, end: each command says what it did, and the channel hears of it at once."""
    listed = typed()
    assert listed.exit_code == 1
    assert "1 ERROR churn/predictions sound 2026-01-01 since" in listed.output
    assert "churn/predictions is odd" in listed.output
    taken = typed("ack", "1", "--reason", "mine [now]")
    assert taken.exit_code == 0
    assert "1 churn/predictions:sound: acknowledged by" in taken.output
    assert "acknowledged by" in typed().output
    silent = typed("silence", "1", "--hours", "2", "--reason", "deploy")
    assert "churn/predictions:sound is silent until" in silent.output
    assert "serving-assets alerts unsilence 1" in silent.output
    assert "silence 1: churn/predictions:sound is silent until" in typed().output
    assert "is no longer silent" in typed("unsilence", "1").output
    over = typed("resolve", "1", "--reason", "accepted")
    assert "resolved by" in over.output
    assert [request.json["event"] for request in receiver.requests] == ["opened", "acknowledged", "resolved"]
    assert receiver.requests[1].json["note"] == "mine [now]"
    quiet = typed()
    assert (quiet.exit_code, "No incident is open." in quiet.output) == (0, True)
    assert "RESOLVED" in typed("--all").output


def test_what_could_not_be_delivered_is_seen(typed: Typed, receiver: Receiver) -> None:
    """A channel that refuses is listed with its error, in words and as JSON, and the command exits with 1."""
    receiver.answer = lambda _: 503
    assert typed("ack", "1").exit_code == 0
    assert (
        "not delivered to hook after 1 attempts: acknowledged of incident 1: 127.0.0.1 answered 503" in typed().output
    )
    told = json.loads(typed("--json").output)
    (missing,) = told["undelivered"]
    assert (missing["channel"], missing["notice"], missing["given_up"]) == ("hook", "acknowledged", False)
    (incident,) = told["incidents"]
    assert (incident["kind"], incident["threshold"], incident["owners"]) == ("sound", 0.25, ["team:crm"])
    assert told["is_looking"]


def test_the_channels_of_an_owner_are_tried(typed: Typed, receiver: Receiver) -> None:
    """The test tells which channel accepted; exits with 1 when one has not, or when the file is wrong."""
    assert typed("test", "team:crm").output.split() == ["hook", "accepted"]
    receiver.answer = lambda _: 401
    refused = typed("test", "team:crm", "--json")
    assert (refused.exit_code, "answered 401" in json.loads(refused.output)["hook"]) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ack", "9"), "No incident 9 is open"),
        (("resolve", "9"), "No incident 9 is open"),
        (("silence", "9", "--hours", "1"), "No incident 9 is open"),
        (("unsilence", "9"), "No silence 9 is in force"),
    ],
)
def test_a_wrong_number_is_told(typed: Typed, words: tuple[str, ...], said: str) -> None:
    """What is not there exits with 1 and what lists the others."""
    told = typed(*words)
    assert told.exit_code == 1
    assert said in told.output
    assert "serving-assets alerts lists" in told.output
