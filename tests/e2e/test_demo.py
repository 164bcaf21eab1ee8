"""The demo as a newcomer meets it: everything from nothing on one day, and only what is new on the next."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from serving_assets.demo.shift import TIMEZONE
from serving_assets.settings import PROJECT

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

DEMO = "from datetime import date; from serving_assets.commands.demo import run_demo; raise SystemExit(run_demo({day}))"
CLI = "from serving_assets.cli import app; app()"
STAGES = (
    "raw",
    "mapped",
    "training_set",
    "model",
    "champion",
    "features",
    "predictions",
    "historic",
    "latest",
    "online",
)


def call(workspace: Path, code: str, *arguments: str) -> str:
    """What a process of this code over the workspace prints, once it has exited with 0."""
    home = workspace / "dagster_home"
    if not home.exists():
        home.mkdir(parents=True)
        (home / "dagster.yaml").write_text((PROJECT / "dagster_home" / "dagster.yaml").read_text(encoding="utf-8"))
    own = {"DATA_DIR": str(workspace / "data"), "DAGSTER_HOME": str(home), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **own},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_goes_on_with_the_day_that_has_arrived(tmp_path: Path) -> None:
    """The first call runs every stage and explains itself; a call on the next day lands and scores that day alone."""
    today: date = datetime.now(ZoneInfo(TIMEZONE)).date()
    first = call(tmp_path, DEMO.format(day=f"date.fromisoformat('{today - timedelta(days=1)}')"))
    assert all(re.search(rf"^ *{stage} ", first, re.MULTILINE) for stage in STAGES), first
    assert all(told in first for told in ("recency alone", "frequency alone", "95 % interval", "make ui")), first
    assert re.search(r"frequency alone +0\.\d{4} +\+0\.\d{4} +\(\+0\.", first), first
    before = json.loads(call(tmp_path, CLI, "status", "--json"))

    second = call(tmp_path, CLI, "demo")
    after = json.loads(call(tmp_path, CLI, "status", "--json"))
    ran = second.partition("held-out")[0]
    assert re.search(r"^ *historic ", ran, re.MULTILINE), second
    assert not re.search(r"^ *(training_set|model|champion) ", ran, re.MULTILINE), second
    for old, new in zip(before, after, strict=True):
        # By today's clock the first call was a day late; and which day of the year this is decides what is unusual.
        assert {check["check"] for check in old["failing_checks"] if check["severity"] == "ERROR"} <= {"partition_lag"}
        assert [check for check in new["failing_checks"] if check["severity"] == "ERROR"] == []
        days = [date.fromisoformat(found["stages"][f"{found['use_case']}/historic"]) for found in (old, new)]
        assert days[1] - days[0] >= timedelta(days=1)
    known = re.findall(r"^ *(\d+) +0\.\d+ +\d{4}-", second, re.MULTILINE)
    shown = json.loads(call(tmp_path, CLI, "show", "purchase_propensity", known[0], "--json"))
    assert shown["as_of"][:10] == str(today)
