"""What a message carries for the shell in which its runbook is followed."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from serving_assets.alerts.lifecycle import opened
from serving_assets.alerts.message import Links, message
from serving_assets.alerts.records import ALL, Incident, Key, Notice
from serving_assets.alerts.shell import this_shell, values_of
from serving_assets.settings import Settings
from tests.alerts.incidents import ERROR, START, finding

NIGHT = opened(finding(ERROR, day="2026-02-28"), 7, "abc-7")


def of(key: Key, newest_day: str = "2026-02-27") -> Incident:
    """An incident of `key` that speaks of no day."""
    return opened(replace(finding(ERROR, key=key), newest_day=newest_day), 7, "abc-7")


def test_an_incident_gives_the_values_that_pages_use() -> None:
    """A use case's has USE_CASE, a table's TABLE; the day is the newest that fails, or else the newest that ended."""
    assert values_of(NIGHT) == {
        "USE_CASE": "churn",
        "ASSET": "churn/predictions",
        "DAY": "2026-02-28",
        "INCIDENT": "7",
    }
    table = of(Key("shop", "raw/transactions", "volume"))
    assert values_of(table) == {
        "ASSET": "raw/transactions",
        "TABLE": "transactions",
        "DAY": "2026-02-27",
        "INCIDENT": "7",
    }
    assert "USE_CASE" not in values_of(of(Key("platform", "schedules/x", "tick_failed")))


def test_the_line_works_in_a_clean_shell(tmp_path: Path) -> None:
    """Pasted into a shell without any environment, it finds the command and knows workspace and incident."""
    settings = Settings(data_dir=tmp_path / "with a space")
    shell = this_shell(settings, {"DAGSTER_HOME": str(tmp_path), "ENGINE_MEMORY": "2GB"})
    script = f'{shell.of(NIGHT)}\nprintf "%s\\n" "$DATA_DIR" "$LANDING" "$DAGSTER_HOME" "$ENGINE_MEMORY" "$DAY" && '
    found = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", "bash", "-ec", script + "command -v serving-assets"],
        capture_output=True,
        text=True,
        check=True,
    )
    data, landing, home, memory, day, command = found.stdout.splitlines()
    assert (data, landing) == (str(settings.data_dir), str(settings.data_dir / "landing"))
    assert (home, memory, day) == (str(tmp_path), "2GB", "2026-02-28")
    assert command.endswith("bin/serving-assets")


def test_no_secret_is_in_a_message(tmp_path: Path) -> None:
    """Secrets, and addresses that may hold a password, are named and not shown."""
    secrets = {"MONGODB_URI": "mongodb://host", "STORE_URI": "mongodb://u:hunter2@host", "ERASURE_SECRET": "hunter3"}
    shell = this_shell(Settings(data_dir=tmp_path), secrets)
    told = message(Notice("opened", START, NIGHT, ("it",)), Links("http://ui", "runbooks", shell))
    assert dict(told.facts)["Host"].endswith("; export ERASURE_SECRET, MONGODB_URI, STORE_URI there first")
    assert not any(value in str(told.fields) + told.text for value in secrets.values())


def test_the_first_step_is_a_whole_command() -> None:
    """A command in the first step has its values filled in."""
    step = replace(NIGHT, last=replace(NIGHT.last, first_step="Run serving-assets backfill --from $DAY --to $DAY"))
    told = message(Notice("opened", START, step, ("it",)), Links("http://ui", "runbooks"))
    assert dict(told.facts)["First"] == "Run serving-assets backfill --from 2026-02-28 --to 2026-02-28"
    assert "Shell" not in dict(told.facts)
    assert NIGHT.last.days != ALL
