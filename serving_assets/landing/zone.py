"""What lies in the landing zone: the finished files of each source, folder by folder.

Here: listing them on a local disk or an object store, and telling deliveries apart. Not here: what is done about a new
one (pipeline/automation/arrivals_sensor.py), or reading its rows (ingest.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from serving_assets.catalog.spec import Source
from serving_assets.lake import Storage, StoredFile
from serving_assets.landing.files import SUFFIXES
from serving_assets.settings import Settings

SNAPSHOT = ""
"""The folder of a source without days."""
HASHED_BYTES = 256 * 1024**2
"""Files that are larger together are told apart by size and time alone: reading them would outlast a tick."""

UNREAD = "-"

_DAY = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class Delivery:
    """The finished files of one folder.

    Attributes:
        signature: another one after any change of a name, a size or a time.
        newest: when the newest file was written.
    """

    signature: str
    newest: datetime
    files: tuple[StoredFile, ...]


class LandingZone:
    """The folders of all sources below one address."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @classmethod
    def of(cls, settings: Settings) -> LandingZone:
        """The workspace's."""
        uri = settings.landing_uri
        return cls(Storage(uri if "://" in uri else str(settings.landing.expanduser().absolute())))

    def deliveries(self, source: Source) -> dict[str, Delivery]:
        """By day (`YYYY-MM-DD`), newest first; a snapshot's stands under `SNAPSHOT`. One listing of the store."""
        folders: dict[str, list[StoredFile]] = {}
        for file in self._storage.child(source.name).walk():
            folder, _, name = file.path.rpartition("/")
            if name.endswith(SUFFIXES[source.format]) and name[0] not in "._":
                folders.setdefault(folder, []).append(file)
        if source.delivery == "snapshot":
            return {SNAPSHOT: _delivery(folders[""])} if "" in folders else {}
        days = {found[1]: files for folder, files in folders.items() if (found := _DAY.fullmatch(folder))}
        return {day: _delivery(days[day]) for day in sorted(days, reverse=True)}

    def content(self, source: Source, delivery: Delivery) -> str:
        """Digest of what the files hold, whatever they are called; `UNREAD` where reading them would take too long."""
        if sum(file.bytes for file in delivery.files) > HASHED_BYTES:
            return UNREAD
        folder = self._storage.child(source.name)
        return _digest(sorted(hashlib.sha256(folder.read(file.path)).hexdigest() for file in delivery.files))


def _delivery(files: list[StoredFile]) -> Delivery:
    told = (f"{file.path}:{file.bytes}:{file.modified.timestamp():.6f}" for file in files)
    return Delivery(_digest(told), max(file.modified for file in files), tuple(files))


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
