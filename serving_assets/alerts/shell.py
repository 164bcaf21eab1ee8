"""The line that makes a clean shell ready for a runbook: folder, environment, and the values of the incident.

Here: what the line sets. Not here: the message that carries it (message.py), or the pages that use it (docs/runbooks/).
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serving_assets.alerts.records import Incident
from serving_assets.settings import PROJECT, Settings

HOME = "DAGSTER_HOME"
SET_OTHERWISE = {"DATA_DIR"}


@dataclass(frozen=True)
class Shell:
    """A machine, the commands that set up a shell on it, and the secrets that its reader has to export."""

    host: str
    line: str
    secrets: tuple[str, ...] = ()

    def of(self, incident: Incident) -> str:
        """The commands that set up a shell for the runbook of an incident."""
        return f"{self.line} {exports(values_of(incident))}"


def this_shell(settings: Settings, environment: Mapping[str, str] = os.environ) -> Shell:
    """A shell on the machine of this process, with its workspace.

    Its commands change to the project's folder, put `serving-assets` on the path, and export the workspace and every
    setting that this process got from its environment, but for secrets.
    """
    folder = PROJECT if (PROJECT / "pyproject.toml").is_file() else Path.cwd()
    data = settings.data_dir.absolute()
    values = {"DATA_DIR": str(data), "LANDING": settings.landing_uri or str(data / "landing")}
    if home := environment.get(HOME):
        values[HOME] = str(Path(home).absolute())
    names = (name.upper() for name in Settings.model_fields)
    given = {name: environment[name] for name in names if name in environment and name not in SET_OTHERWISE}
    secrets = tuple(sorted(name for name, value in given.items() if _is_secret(name, value)))
    values |= {name: value for name, value in given.items() if name not in secrets}
    programs = shlex.quote(str(Path(sys.executable).parent))
    line = f"cd {shlex.quote(str(folder))}; export PATH={programs}:$PATH {exports(values)}"
    return Shell(socket.gethostname(), line, secrets)


def values_of(incident: Incident) -> dict[str, str]:
    """What the commands of a page need of an incident, by the names that the pages use.

    `USE_CASE` and `TABLE` are there only for an incident of a use case or of a raw or mapped table. `DAY` is the newest
    day that fails, or else the newest day that had ended.
    """
    finding, failing = incident.last, [one.days.last for one in incident.failing if one.days.last]
    layer, _, name = finding.key.asset.partition("/")
    is_table = layer in ("raw", "mapped")
    values = {
        "USE_CASE": "" if is_table or finding.key.scope == "platform" else finding.key.scope,
        "ASSET": finding.key.asset,
        "TABLE": name if is_table else "",
        "DAY": max(failing, default=finding.days.last or finding.newest_day),
        "INCIDENT": str(incident.number),
    }
    return {name: value for name, value in values.items() if value}


def exports(values: Mapping[str, str]) -> str:
    """The values as arguments of `export`."""
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())


def _is_secret(name: str, value: str) -> bool:
    """Whether a setting is declared as a secret, or is an address that may hold a password."""
    declared = str(Settings.model_fields[name.lower()].annotation)
    return "Secret" in declared or "@" in value
