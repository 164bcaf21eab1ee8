"""The configuration file: what it means, and how its faults are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving_assets.alerts.config import AlertConfig, parse_config, read_config
from serving_assets.alerts.records import AlertsError, Severity

WHOLE = """
channels:
  chat: {apprise: "slack://${SLACK}/#alerts"}
  pager: {pagerduty: {routing_key: "${PAGER}"}}
  hook: {webhook: {url: "https://hooks.example.com/x", secret: "${HOOK}"}}
owners:
  team:crm: {notify: [chat], page: [pager, chat], escalate: [hook]}
default: {notify: [stdout]}
repeat_after: {error: 2h}
escalate_after: 15m
"""
ENVIRONMENT = {"SLACK": "T1/B2/C3-secret", "PAGER": "pager-secret", "HOOK": "hook-secret-of-16"}


def test_without_a_file_all_goes_to_standard_output() -> None:
    """Nothing must be configured to be told."""
    rules = read_config(None).rules()
    for severity in (Severity.WARN, Severity.ERROR):
        assert rules.route(("team:crm",), severity) == ("stdout",)
    assert rules.escalate((), Severity.ERROR) == ()


def test_routes_by_owner_and_severity() -> None:
    """Each owner has channels by severity, several owners those of all, and whoever is not named the default."""
    rules = parse_config(WHOLE, "alerts.yaml", ENVIRONMENT).rules()
    assert rules.route(("team:crm",), Severity.WARN) == ("chat",)
    assert rules.route(("team:crm",), Severity.ERROR) == ("pager", "chat")
    assert rules.route(("team:crm", "team:other"), Severity.ERROR) == ("pager", "chat", "stdout")
    assert rules.route((), Severity.ERROR) == ("stdout",)
    assert rules.escalate(("team:crm",), Severity.ERROR) == ("hook",)


def test_secrets_come_from_the_environment_and_are_never_shown() -> None:
    """What is read tells no secret when it is printed."""
    config = parse_config(WHOLE, "alerts.yaml", ENVIRONMENT)
    chat, pager = config.channels["chat"].apprise, config.channels["pager"].pagerduty
    assert chat is not None
    assert chat.get_secret_value() == "slack://T1/B2/C3-secret/#alerts"
    assert pager is not None
    assert pager.routing_key.get_secret_value() == "pager-secret"
    assert "secret" not in repr(config).replace("routing_key=SecretStr", "").replace("secret=SecretStr", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("channels: [", "alerts.yaml, line 1: is no YAML"),
        ("- a", "must hold keys such as channels"),
        ("chanels: {}", "chanels: is no such key"),
        ("channels: {a: {}}", "channels.a: give exactly one of apprise, pagerduty and webhook"),
        ("channels: {a: {pagerduty: {}}}", "channels.a.pagerduty.routing_key: Field required"),
        (
            "channels: {a: {webhook: {url: 'ftp://hush', secret: hush-hush-hush-hush}}}",
            "channels.a.webhook: url must begin with",
        ),
        ("channels: {a: {webhook: {url: 'https://x', secret: hush}}}", "channels.a.webhook.secret: "),
        ("channels: {stdout: {apprise: 'json://hush'}}", "channels.stdout: is built in"),
        ("channels: {a: {apprise: 'slack://${NOPE}'}}", "channels.a.apprise: ${NOPE} is not set"),
        ("owners: {team:x: {notify: [chat]}}", "owners.team:x.notify: no channel 'chat' is declared"),
        ("owners: {team:x: {page: []}}", "owners.team:x.notify: Field required"),
        ("escalate_after: 5 minutes", "escalate_after: '5 minutes' is not a duration"),
        ("repeat_after: {error: 3}", "repeat_after.error: 3 is not a duration"),
    ],
)
def test_a_fault_is_told_with_file_key_and_mend(text: str, told: str) -> None:
    """Every fault names the file, the key and what to do; and never a value that may be secret."""
    with pytest.raises(AlertsError) as caught:
        parse_config(text, "alerts.yaml", {})
    assert told in caught.value.message
    assert caught.value.message.startswith("alerts.yaml")
    assert caught.value.hint
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A configured file that is missing is an error, not the default."""
    with pytest.raises(AlertsError, match="cannot be read"):
        read_config(tmp_path / "alerts.yaml")


def test_an_empty_file_is_the_default() -> None:
    """A file in which everything is commented out is valid."""
    assert parse_config("# nothing\n", "alerts.yaml", {}) == AlertConfig()
