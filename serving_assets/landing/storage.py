"""Files of the landing zone on a local disk or in an object store: listing them, and reading the very ones listed.

Here: the one way in which landed files are reached, and its errors. Not here: which of them are deliveries (zone.py),
or tables of the lake (lake/storage.py).

Credentials of an object store come from the environment or from the cloud's identity, by the same variables as for the
lake.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from serving_assets.errors import ConflictError, InputError, ServingAssetsError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK_BYTES = 8 << 20
RETRIES, RETRY_SECONDS = 2, 10
"""How often, and for how long, a request to an object store is tried anew before the step fails; a run tries again."""
IDENTITY_SERVICES = ("169.254.169.254", "/latest/api/token", "metadata/identity", "metadata.google.internal")
"""Where a machine's identity is asked for when the environment has no credentials."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ListedFile:
    """A file as a listing found it.

    Attributes:
        path: path below the folder that was listed, with slashes.
        bytes: its size.
        modified: when it was last written, UTC.
        version: another one whenever the content may be another: the ETag, or inode, time and size.
    """

    path: str
    bytes: int
    modified: datetime
    version: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


class LandingStorage(Protocol):
    """A folder of files. Paths are literal: no character in them has a meaning."""

    def list(self, folder: str) -> list[ListedFile]:
        """Every file below `folder` and the folders inside it, sorted by path; none when it does not exist."""

    def read(self, folder: str, file: ListedFile) -> bytes:
        """The content of a listed file.

        Raises:
            ConflictError: when it is no longer the one that was listed.
        """

    def place(self, folder: str, file: ListedFile, target: Path) -> None:
        """Make the content of a listed file readable at `target`, a path of this machine.

        Raises:
            ConflictError: when it is no longer the one that was listed.
        """

    def address(self, path: str) -> str:
        """Where a file is, for messages."""

    def check(self) -> None:
        """Raise an `InputError` when there is no landing zone."""


def open_storage(address: str) -> LandingStorage:
    """The landing zone at a path, a `file://` URI, or the URI of an object store (s3, gs, az)."""
    parts = urlsplit(address)
    if "://" not in address:
        return LocalStorage(Path(address).expanduser().absolute())
    if parts.scheme == "file":
        return LocalStorage(Path(unquote(parts.path)))
    return ObjectStorage(address.rstrip("/"))


@dataclass(frozen=True)
class LocalStorage:
    """A folder of this machine. A file is placed by a link, not by a copy."""

    root: Path

    def list(self, folder: str) -> list[ListedFile]:
        """See `LandingStorage.list`."""
        top = self.root / folder
        paths = (Path(at) / name for at, _, names in os.walk(top, followlinks=True) for name in names)
        return sorted((_listed(path, top) for path in paths if path.is_file()), key=lambda file: file.path)

    def read(self, folder: str, file: ListedFile) -> bytes:
        """See `LandingStorage.read`."""
        path = self._unchanged(folder, file)
        return path.read_bytes()

    def place(self, folder: str, file: ListedFile, target: Path) -> None:
        """See `LandingStorage.place`."""
        target.symlink_to(self._unchanged(folder, file))

    def address(self, path: str) -> str:
        """See `LandingStorage.address`."""
        return str(self.root / path)

    def check(self) -> None:
        """See `LandingStorage.check`."""
        if not self.root.is_dir():
            raise InputError(
                f"there is no landing zone {self.root}.", hint="Correct LANDING_URI, or attach the storage."
            )

    def _unchanged(self, folder: str, file: ListedFile) -> Path:
        top = self.root / folder
        path = top / file.path
        if not path.is_file() or _listed(path, top) != file:
            raise changed(str(path))
        return path


@dataclass(frozen=True)
class ObjectStorage:
    """A prefix of a bucket or container. A file is placed by downloading it."""

    uri: str

    @cached_property
    def _store(self) -> ObjectStore:
        from obstore.store import from_url

        with _explained(self.uri):
            return from_url(
                self.uri,
                client_options={"connect_timeout": "5s", "timeout": "300s", "allow_http": _allow_http()},
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
            )

    def list(self, folder: str) -> list[ListedFile]:
        """See `LandingStorage.list`."""
        import obstore

        found = []
        with _explained(self.uri):
            for chunk in obstore.list(self._store, prefix=folder or None):
                found += [meta for meta in chunk if not meta["path"].endswith("/")]
        top = f"{folder}/" if folder else ""
        files = (
            ListedFile(
                meta["path"].removeprefix(top), meta["size"], meta["last_modified"].astimezone(UTC), meta["e_tag"] or ""
            )
            for meta in found
        )
        return sorted(files, key=lambda file: file.path)

    def read(self, folder: str, file: ListedFile) -> bytes:
        """See `LandingStorage.read`."""
        return b"".join(self._chunks(folder, file))

    def place(self, folder: str, file: ListedFile, target: Path) -> None:
        """See `LandingStorage.place`."""
        with target.open("wb") as copy:
            for chunk in self._chunks(folder, file):
                copy.write(chunk)

    def address(self, path: str) -> str:
        """See `LandingStorage.address`."""
        return f"{self.uri}/{path}"

    def check(self) -> None:
        """See `LandingStorage.check`. A bucket that is missing is reported by the listing."""

    def _chunks(self, folder: str, file: ListedFile) -> Iterator[bytes]:
        import obstore
        from obstore.exceptions import NotFoundError, PreconditionError

        path = f"{folder}/{file.path}" if folder else file.path
        try:
            with _explained(self.uri):
                found = obstore.get(self._store, path, options={"if_match": file.version} if file.version else {})
                if found.meta["size"] != file.bytes:
                    raise changed(self.address(path))
                for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    yield bytes(chunk)
        except (NotFoundError, PreconditionError) as error:
            raise changed(self.address(path)) from error


def _allow_http() -> bool:
    """Whether a variable such as AWS_ALLOW_HTTP permits an endpoint without TLS; options of a client hide it."""
    permits = (value.lower() in ("1", "true") for name, value in os.environ.items() if name.endswith("_ALLOW_HTTP"))
    return any(permits)


def changed(address: str) -> ConflictError:
    """The error for a file that is no longer the one that was listed."""
    return ConflictError(
        f"{address} was written anew or removed while it was being read.",
        hint="Try again; upstream systems deliver a file under a hidden name and rename it when it is complete.",
    )


def _listed(path: Path, top: Path) -> ListedFile:
    found = path.stat()
    modified = _EPOCH + timedelta(microseconds=found.st_mtime_ns // 1_000)
    version = f"{found.st_dev}-{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
    return ListedFile(path.relative_to(top).as_posix(), found.st_size, modified, version)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Raise an error of an object store as one that names the zone, what is wrong, and the fix."""
    from obstore import exceptions as known

    try:
        yield
    except known.PreconditionError:
        raise
    except known.BaseError as error:
        text = str(error).split("\n\nDebug source")[0]
        raise _explanation(uri, text, error) from error


def _explanation(uri: str, text: str, error: Exception) -> Exception:
    from obstore import exceptions as known

    if "NoSuchBucket" in text or "ContainerNotFound" in text or "bucket does not exist" in text:
        return InputError(f"{uri}: there is no such bucket.", hint="Correct LANDING_URI, or create the bucket.")
    if isinstance(error, known.NotFoundError):
        return error
    if any(each in text for each in IDENTITY_SERVICES) or isinstance(error, known.UnauthenticatedError):
        return InputError(
            f"{uri}: there are no credentials that open it.",
            hint="Set them in the environment (AWS_ACCESS_KEY_ID ..., see docs/object_stores.md), or give the machine "
            "an identity.",
        )
    if isinstance(error, known.PermissionDeniedError) or "InvalidAccessKeyId" in text:
        return InputError(
            f"{uri}: the credentials may not read it ({text[:300]}).",
            hint="Let them list the bucket and read its objects.",
        )
    return ServingAssetsError(
        f"{uri} cannot be reached or does not answer ({text[:300]}).",
        hint="Look at the object store, the network, and AWS_ENDPOINT_URL; the step is tried again.",
    )
