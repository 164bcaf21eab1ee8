"""Unpack a kept workspace into a folder, and open it as the commands do, at the moment for which it is described.

Here: the folder, its settings, and the one address that is stored with it. Not here: what must stand in it (facts.py).

Everything that a workspace stores is relative to its folder but the addresses of MLflow's artifacts, which MLflow
itself writes down in full. In the archive they begin with PLACEHOLDER, and unpacking puts the folder in its place, as
whoever moves a workspace does.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import time_machine

from serving_assets.local_runner.workspace import Workspace
from serving_assets.settings import Settings, get_settings

FOLDER = Path(__file__).parent
ARCHIVE, EXPECTED = FOLDER / "workspace-0.1.0.tar.xz", FOLDER / "expected.json"
PLACEHOLDER = "/kept-workspace"
DATA, INSTANCE = "data", "dagster"


@cache
def expected() -> Any:
    """What the code that made the workspace read from it, by section; see facts.py."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))


def unpack(root: Path, archive: Path = ARCHIVE) -> Path:
    """Unpack the workspace into `root`, and let MLflow find its artifacts there."""
    with tarfile.open(archive) as packed:
        packed.extractall(root, filter="data")
    replace_texts(root / DATA / "mlflow" / "mlflow.db", {PLACEHOLDER: str(root)})
    return root


def replace_texts(database: Path, words: dict[str, str]) -> None:
    """Replace words wherever they stand in a text of a SQLite file."""
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for column in [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]:
                for old, new in words.items():
                    connection.execute(
                        f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                        f'WHERE typeof("{column}") = \'text\' AND instr("{column}", ?)',
                        [old, new, old],
                    )


@contextmanager
def environment(root: Path, **more: str) -> Iterator[None]:
    """Within the block, the environment names the workspace in `root`, and nothing else of this machine's."""
    own = {
        "DATA_DIR": str(root / DATA),
        "DAGSTER_HOME": str(root / INSTANCE),
        "EXECUTOR": "in_process",
        "ENGINE_THREADS": "2",
        "BACKFILL_PROCESSES": "1",
        "COLUMNS": "200",
    }
    with patch.dict(os.environ):
        for name in Settings.model_fields:
            os.environ.pop(name.upper(), None)
        os.environ.update(own | more)
        get_settings.cache_clear()
        try:
            yield
        finally:
            get_settings.cache_clear()


@contextmanager
def opened(root: Path, at: str) -> Iterator[Workspace]:
    """Within the block it is the moment `at`, from which on time passes, and the workspace in `root` is open."""
    with environment(root), time_machine.travel(datetime.fromisoformat(at)):
        workspace = Workspace()
        yield workspace
        workspace.platform.store.close()
