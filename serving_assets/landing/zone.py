"""What lies in the landing zone: the finished files of each source, folder by folder.

Here: which files are deliveries, which are not read and why, and how deliveries are distinguished. Not here: what is
done about a new one (pipeline/automation/arrivals_sensor.py), reading its rows (ingest.py), or the disk and the object
store (storage.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from serving_assets.catalog.spec import Source
from serving_assets.landing.files import suffix_of, why_not_read
from serving_assets.landing.scratch import scratch_folder
from serving_assets.landing.storage import LandingStorage, ListedFile, open_storage
from serving_assets.settings import Settings

SNAPSHOT = ""
"""The folder of a source without days."""
HASHED_BYTES = 256 * 1024**2
"""Files that are larger together are compared by size and time alone: reading them would outlast a tick."""

UNREAD = "-"

_DAY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FileDelivery:
    """The files of one folder of a source; what is not read does not make a delivery.

    Attributes:
        signature: another one after any change of a name, a size or a time.
        newest: when the newest file was written.
        files: the finished files of the source's format, with their paths below the source's folder.
        unread: the path of every other file, below the source's folder, and why it is not read.
    """

    signature: str
    newest: datetime
    files: tuple[ListedFile, ...]
    unread: tuple[tuple[str, str], ...] = ()


class LandingZone:
    """The folders of all sources below one address."""

    def __init__(self, storage: LandingStorage, scratch: Path) -> None:
        self.storage, self._scratch = storage, scratch

    @classmethod
    def of(cls, settings: Settings) -> LandingZone:
        """The workspace's."""
        return cls(open_storage(settings.landing_zone), settings.fetched_dir)

    def deliveries(self, source: Source) -> dict[str, FileDelivery]:
        """By day (`YYYY-MM-DD`), newest first; a snapshot's stands under `SNAPSHOT`. One listing of the store.

        Raises:
            InputError: when an object store has no such bucket, or does not take the credentials.
            ServingAssetsError: when an object store does not answer.
        """
        folders: dict[str, list[ListedFile]] = {}
        for file in self.storage.list(source.name):
            folders.setdefault(file.path.rpartition("/")[0], []).append(file)
        if source.delivery == "snapshot":
            found = {SNAPSHOT: _delivery(source, folders.get("", []))}
        else:
            days = {match[1]: files for folder, files in folders.items() if (match := _DAY.fullmatch(folder))}
            found = {day: _delivery(source, days[day], f"dt={day}/") for day in sorted(days, reverse=True)}
        return {folder: delivery for folder, delivery in found.items() if delivery.files}

    def delivery(self, source: Source, day: date | None) -> FileDelivery:
        """What lies in the folder of a day, or of a snapshot (None), and in the folders inside it; perhaps nothing."""
        below = f"dt={day}/" if day else ""
        files = self.storage.list(f"{source.name}/{below}".rstrip("/"))
        return _delivery(source, [replace(file, path=f"{below}{file.path}") for file in files], below)

    def content(self, source: Source, delivery: FileDelivery) -> str:
        """Digest of what the files hold, whatever they are called; `UNREAD` where reading them would take too long."""
        if sum(file.bytes for file in delivery.files) > HASHED_BYTES:
            return UNREAD
        contents = (self.storage.read(source.name, file) for file in delivery.files)
        return _digest(sorted(hashlib.sha256(content).hexdigest() for content in contents))

    @contextmanager
    def placed(self, source: Source, files: Iterable[ListedFile]) -> Iterator[list[Path]]:
        """The content of each file under a path of this machine in which no character has a meaning to a reader.

        The paths end when the context does; those of a process that was killed, when the next one begins.

        Raises:
            ConflictError: when a file is no longer the one that was listed.
        """
        with scratch_folder(self._scratch) as folder:
            placed = []
            for number, file in enumerate(files):
                path = folder / f"{number:06}{suffix_of(file.name, source.format)}"
                self.storage.place(source.name, file, path)
                placed.append(path)
            yield placed

    def address(self, source: Source, path: str = "") -> str:
        """Where a file or folder of a source is, for messages."""
        return self.storage.address(f"{source.name}/{path}".rstrip("/"))


def _delivery(source: Source, listed: list[ListedFile], below: str = "") -> FileDelivery:
    files, unread = [], []
    for file in listed:
        nested = "/" in file.path.removeprefix(below)
        if why := "in a folder inside" if nested else why_not_read(file.name, source):
            unread.append((file.path, why))
        else:
            files.append(file)
    described = (f"{file.path}:{file.bytes}:{file.modified.timestamp():.6f}" for file in files)
    newest = max((file.modified for file in files), default=_NEVER)
    return FileDelivery(_digest(described), newest, tuple(files), tuple(unread))


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
