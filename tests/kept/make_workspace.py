"""Make the kept workspace of this code, and write down what this code reads from it.

    python -m tests.kept.make_workspace FOLDER

The archive and expected.json that stand here were made by version 0.1.0, commit ba8d55f, before its modules moved; they
stay as they are, so that later code is proven to understand what earlier code stored. FOLDER is where those of another
version go, to be looked at and committed beside them under that version's name.

Here: the order of living, packing and reading. Not here: each of them (story.py, packing.py, facts.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

from serving_assets.settings import PROJECT, Settings
from tests.kept import facts, story
from tests.kept.open_workspace import DATA, EXPECTED, INSTANCE, environment, opened, unpack
from tests.kept.packing import pack

WHO = {"platform.node": "kept", "socket.gethostname": "kept", "getpass.getuser": "somebody"}
"""What the workspace knows of who made it, and where."""


def main(folder: Path) -> None:
    """Both files, into `folder`."""
    own = version("serving-assets")
    archive = folder / f"workspace-{own}.tar.xz"
    with tempfile.TemporaryDirectory() as scratch:
        lived, unpacked = Path(scratch) / "lived", Path(scratch) / "unpacked"
        told = made(lived)
        pack(lived, archive, story.transactions(lived / DATA / "landing", told.newest).parent.name)
        known = {
            "made_by": {"version": own, "commit": commit()},
            "read_at": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(timespec="seconds"),
            "settings": sorted(Settings.model_fields),
            **json.loads(json.dumps(asdict(told), default=str)),
        }
        unpack(unpacked, archive)
        read = described(unpacked, known)
    (folder / EXPECTED.name).write_text(json.dumps(read, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{archive}: {archive.stat().st_size:,} bytes\n")


def made(root: Path) -> story.Told:
    """The folder of a workspace that has lived on a machine called `kept`."""
    (root / DATA).mkdir(parents=True)
    (root / INSTANCE).mkdir()
    (root / INSTANCE / "dagster.yaml").write_text((PROJECT / "dagster_home" / "dagster.yaml").read_text())
    catalog = story.small_catalog(root / "catalog")
    with environment(root, CATALOG_DIR=str(catalog)), ExitStack() as held:
        for name, value in WHO.items():
            held.enter_context(patch(name, return_value=value))
        return story.live(root / DATA / "landing", root / INSTANCE)


def described(root: Path, known: dict[str, Any]) -> dict[str, Any]:
    """What must be known of the workspace, and every section that is read of it."""
    with opened(root, known["read_at"]) as workspace:
        log = facts.online(workspace, known)[story.NAME]["publications"]
        known["moments"] = [entry["at"] for entry in log]
        return {"known": known, **{section: facts.read(section, workspace, known) for section in facts.SECTIONS}}


def commit() -> str:
    """The newest commit of the code."""
    asked = ["git", "log", "-1", "--format=%h", "--", "serving_assets"]
    return subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
