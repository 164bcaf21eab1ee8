"""Pack a workspace into an archive that is small and tells nothing of the machine on which it was made.

Here: what is left out, and the databases made compact. Not here: unpacking (open_workspace.py).
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from serving_assets.settings import PROJECT
from tests.kept.open_workspace import DATA, INSTANCE, PLACEHOLDER, replace_texts

LEFT_OUT = ("plots", "models", "scratch", "compute_logs", "*.lock", "*.db-wal", "*.db-shm")
"""What this code does not read again (pictures, the model in MLflow's own form), or makes again when it is missing."""


def pack(root: Path, archive: Path, newest: str) -> None:
    """Pack the workspace in `root`; of the daily files in its landing zone only those of the folder `newest`."""
    copy = root.with_name("packed")
    for part in (DATA, INSTANCE):
        for database in databases(root / part):
            _settle(database)
        shutil.copytree(root / part, copy / part, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for folder in (copy / DATA / "landing").glob("*/dt=*"):
        if folder.name != newest and folder.parent.name in ("transactions", "coupon_redemptions"):
            shutil.rmtree(folder)
    words = machine_words(root)
    for database in databases(copy):
        replace_texts(database, words)
        _settle(database)
    for commit in (copy / DATA / "lake").rglob("_delta_log/*.json"):  # the first of a table tells where it was created
        text = commit.read_text(encoding="utf-8")
        for folder, name in words.items():
            text = text.replace(folder, name)
        commit.write_text(text, encoding="utf-8")
    _refuse(copy, words)
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for file in sorted(copy.rglob("*")):
            packed.add(file, file.relative_to(copy), recursive=False, filter=_nobodys)


def machine_words(root: Path) -> dict[str, str]:
    """Folders of this machine, and what stands for them in the archive; the longest first."""
    folders = {str(root): PLACEHOLDER, str(PROJECT): "/project", sys.prefix: "/python"}
    folders |= {str(Path(folder).resolve()): name for folder, name in folders.items()}
    return {folder: folders[folder] for folder in sorted(folders, key=len, reverse=True)}


def databases(folder: Path) -> Iterator[Path]:
    """The SQLite files below `folder`."""
    for file in sorted(folder.rglob("*.db")):
        with file.open("rb") as opened:
            if opened.read(6) == b"SQLite":
                yield file


def _settle(database: Path) -> None:
    """Bring everything into the one file, without free pages."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _refuse(folder: Path, words: dict[str, str]) -> None:
    """Refuse to pack a file that names a folder of this machine."""
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [word for word in words if word.encode() in content], file


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
