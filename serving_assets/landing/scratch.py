"""Folders for what a process needs for a while, removed when it ends, or, if it is killed, by the next process.

Here: making and removing them. Not here: what lies in them (zone.py).
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

LOCK = ".lock"


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A new folder inside `root`.

    A process holds a lock on a file beside its folder, which the kernel releases when the process dies: so a folder
    whose lock is free belongs to no living process, on this machine or on another that shares the disk.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = root / uuid4().hex
    with ExitStack() as stack:
        with _alone(root):
            _remove_abandoned(root)
            lock = stack.enter_context(folder.with_suffix(LOCK).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """No other process makes or removes folders of `root` meanwhile."""
    with (root / LOCK).open("w") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        yield


def _remove_abandoned(root: Path) -> None:
    for path in root.glob(f"*{LOCK}"):
        if path.name == LOCK:
            continue
        with suppress(BlockingIOError, FileNotFoundError), path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path.with_suffix(""))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(LOCK).unlink(missing_ok=True)
