"""The folder of one table, on a local disk or an object store, as one file system.

Here: opening, listing and removing files by their path inside the folder. Not here: what the files mean (`log`,
`writer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler


class _BytesOnly:
    """An output stream of deltalake 1.6, which takes nothing but `bytes`, behind Arrow, which hands over buffers."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        return int(self._stream.write(bytes(data)))

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._stream.close()


class _Handler(DeltaStorageHandler):
    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
        return pa.PythonFile(_BytesOnly(self._handler.open_output_stream(path, metadata)), mode="w")


@dataclass(frozen=True)
class StoredFile:
    """A file of a folder: its path inside it, its bytes, and when it was last written (UTC)."""

    path: str
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class Storage:
    """A folder; `uri` is a plain absolute path, or one with a scheme (`s3://bucket/lake`)."""

    uri: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether it is a plain path on this machine."""
        return "://" not in self.uri

    @cached_property
    def filesystem(self) -> pafs.FileSystem:
        """A file system whose root is this folder."""
        if self.is_local:
            return pafs.SubTreeFileSystem(self.uri, pafs.LocalFileSystem())
        return pafs.PyFileSystem(_Handler(self.uri, dict(self.options) or None))

    def child(self, path: str) -> Storage:
        """A folder inside this one."""
        return Storage(self.absolute(path), self.options)

    def absolute(self, path: str) -> str:
        """The address of a file of this folder for other readers."""
        return f"{self.uri.rstrip('/')}/{path}"

    def create(self, path: str) -> pa.NativeFile:
        """A new file to write to; its folders are made where folders exist."""
        if self.is_local:
            (Path(self.uri) / path).parent.mkdir(parents=True, exist_ok=True)
        return self.filesystem.open_output_stream(path)

    def read(self, path: str) -> bytes:
        """The whole content of a file."""
        with self.filesystem.open_input_file(path) as file:
            return bytes(file.read())

    def find(self, paths: list[str]) -> list[StoredFile | None]:
        """Each of these files, or None where there is none."""
        infos = self.filesystem.get_file_info(paths)
        return [
            StoredFile(path, info.size, info.mtime) if info.type == pafs.FileType.File else None
            for path, info in zip(paths, infos, strict=True)
        ]

    def remove(self, path: str) -> None:
        """Delete a file."""
        self.filesystem.delete_file(path)

    def files(self, path: str) -> list[str]:
        """The names of the files directly in the folder `path`, sorted; none when it does not exist."""
        return self._names(path, pafs.FileType.File)

    def folders(self, path: str = "") -> list[str]:
        """The names of the folders directly in the folder `path`, sorted; none when it does not exist."""
        return self._names(path, pafs.FileType.Directory)

    def walk(self) -> list[StoredFile]:
        """Every file of the folder and of those inside it, sorted by path; none when it does not exist."""
        selector = pafs.FileSelector("", allow_not_found=True, recursive=True)
        found = [info for info in self.filesystem.get_file_info(selector) if info.type == pafs.FileType.File]
        return sorted(
            (StoredFile(info.path.lstrip("/"), info.size, info.mtime) for info in found), key=lambda file: file.path
        )

    def _names(self, path: str, kind: pafs.FileType) -> list[str]:
        selector = pafs.FileSelector(path, allow_not_found=True, recursive=False)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector) if info.type == kind)
