"""The configuration of alerts, which channels each owner has: one YAML file, validated before anything is sent.

Here: its form, its defaults, and its errors, which name file, key and fix. Not here: how a channel is spoken to
(channels/).

A secret stands in the environment, and `${NAME}` in its place in the file. What is read never shows secrets: neither
its form as text, nor the error of a channel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from serving_assets.alerts.lifecycle import Rules
from serving_assets.alerts.records import AlertsError, Severity

STDOUT = "stdout"
BUILT_IN = "built-in default"
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    found = re.fullmatch(r"(\d+)\s*([smhd])", value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a duration: write a number and s, m, h or d, such as 30m or 4h")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PagerDuty(_Form):
    """A service of PagerDuty, by the key of its Events API v2 integration."""

    routing_key: SecretStr
    url: str = Field("https://events.pagerduty.com/v2/enqueue", pattern=r"^https?://")


class Webhook(_Form):
    """An endpoint of one's own; `secret` signs what is sent."""

    url: SecretStr
    secret: SecretStr = Field(min_length=16)

    @model_validator(mode="after")
    def _is_http(self) -> Webhook:
        if not self.url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("url must begin with https:// or http://")
        return self


class Channel(_Form):
    """A channel: exactly one of the three must be given."""

    apprise: SecretStr | None = None
    pagerduty: PagerDuty | None = None
    webhook: Webhook | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Channel:
        if sum(way is not None for way in (self.apprise, self.pagerduty, self.webhook)) != 1:
            raise ValueError("give exactly one of apprise, pagerduty and webhook")
        return self


class Routes(_Form):
    """Channels for warnings, for errors, and for errors without acknowledgement; without `page`, it is `notify`."""

    notify: tuple[str, ...]
    page: tuple[str, ...] | None = None
    escalate: tuple[str, ...] = ()

    def at(self, severity: Severity) -> tuple[str, ...]:
        """The channels of a severity."""
        return self.notify if severity is not Severity.ERROR or self.page is None else self.page


class Repeats(_Form):
    """The interval at which an open incident is repeated."""

    error: Duration = timedelta(hours=4)
    warn: Duration = timedelta(hours=24)
    acknowledged: Duration = timedelta(hours=24)


class AlertConfig(_Form):
    """The whole file. `default` is for owners that it does not name, and for what has no owner."""

    channels: dict[str, Channel] = {}
    owners: dict[str, Routes] = {}
    default: Routes = Routes(notify=(STDOUT,))
    repeat_after: Repeats = Repeats()
    escalate_after: Duration = timedelta(minutes=30)
    heartbeat: SecretStr | None = Field(None, description="address that is asked after every look that was complete")

    @model_validator(mode="after")
    def _channels_exist(self) -> AlertConfig:
        if STDOUT in self.channels:
            raise ValueError(f"channels.{STDOUT}: is built in and cannot be declared; choose another name")
        for name, routes in {**{f"owners.{o}": r for o, r in self.owners.items()}, "default": self.default}.items():
            for use in ("notify", "page", "escalate"):
                for channel in getattr(routes, use) or ():
                    if channel not in self.channels and channel != STDOUT:
                        known = ", ".join([*self.channels, STDOUT])
                        raise ValueError(f"{name}.{use}: no channel {channel!r} is declared; known are: {known}")
        return self

    def routes(self, owner: str) -> Routes:
        """The routes of an owner."""
        return self.owners.get(owner, self.default)

    def rules(self) -> Rules:
        """The life cycle that the file declares."""
        return Rules(
            route=lambda owners, severity: self._union([self.routes(o).at(severity) for o in owners or ("",)]),
            escalate=lambda owners, _: self._union([self.routes(owner).escalate for owner in owners or ("",)]),
            repeat_error=self.repeat_after.error,
            repeat_warn=self.repeat_after.warn,
            repeat_acknowledged=self.repeat_after.acknowledged,
            escalate_after=self.escalate_after,
        )

    @staticmethod
    def _union(routes: list[tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(channel for channels in routes for channel in channels))


def read_config(path: Path | None, environment: Mapping[str, str] = os.environ) -> AlertConfig:
    """The configuration in a file; without one, everything goes to standard output.

    Raises:
        AlertsError: naming the file, the key and the fix.
    """
    if path is None:
        return AlertConfig()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AlertsError(f"{path} cannot be read: {error}.", hint="Correct ALERTS_CONFIG, or the file.") from error
    return parse_config(text, str(path), environment)


def parse_config(text: str, file: str, environment: Mapping[str, str] = os.environ) -> AlertConfig:
    """The configuration in a text; `file` is what its errors call it.

    Raises:
        AlertsError: naming the file, the key and the fix.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = f", line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise AlertsError(
            f"{file}{where}: is no YAML: {problem}.", hint="docs/alerts.md shows a whole file."
        ) from error
    if not isinstance(raw, dict | None):
        raise AlertsError(f"{file}: must hold keys such as channels and owners.", hint="docs/alerts.md shows one.")
    filled = _filled(raw or {}, file, (), environment)
    try:
        return AlertConfig.model_validate(filled)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden"
        problem_text = "is no such key" if unknown else first["msg"].removeprefix("Value error, ")
        raise AlertsError(
            f"{file}: {place + ': ' if place else ''}{problem_text}.", hint="docs/alerts.md explains every key."
        ) from None  # pydantic's own text would show the values, and some are secrets


def _filled(value: Any, file: str, place: tuple[str, ...], environment: Mapping[str, str]) -> Any:
    """The same value with the environment's in place of each `${NAME}`."""
    if isinstance(value, dict):
        return {key: _filled(each, file, (*place, str(key)), environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, file, (*place, str(index)), environment) for index, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in VARIABLE.findall(value):
        if not environment.get(name):
            raise AlertsError(
                f"{file}: {'.'.join(place)}: ${{{name}}} is not set in the environment.",
                hint=f"Set {name} for the daemon and for the shells that run serving-assets, or take the channel out.",
            )
    return VARIABLE.sub(lambda found: environment[found[1]], value)
