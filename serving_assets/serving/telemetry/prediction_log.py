"""The prediction log: what was answered, for skew checks and later training.

Here: sampling by declaration, leaving out what is personal, and files in the landing zone. Not here: request logs
(logs.py). Off unless a use case declares it.

Nothing on a request's way waits for it: a full queue drops records and counts them, and a thread writes. A file is
hidden while it is written and appears whole, so that ingestion never reads half of one.
"""

from __future__ import annotations

import os
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from serving_assets.catalog.serve import LOG_FOLDER, LogAnswers
from serving_assets.serving.http.answer import Answer
from serving_assets.serving.http.request import HttpRequest

MOST_WAITING = 10_000
FILE_SECONDS = 300.0
PART = ".part"


class Record(NamedTuple):
    """One sampled answer."""

    at: datetime
    request_id: str
    use_case: str
    declared: LogAnswers
    answer: Answer


class PredictionLog:
    """The log of one process, in `<landing>/api_predictions/dt=YYYY-MM-DD/`, days in UTC.

    Args:
        landing: the landing zone.
        declared: what each use case declares to log.
        dropped: called for every record that found the queue full or could not be written.
        file_seconds: after how long a file appears.
    """

    def __init__(
        self,
        landing: Path,
        declared: Mapping[str, LogAnswers],
        dropped: Callable[[], None],
        *,
        file_seconds: float = FILE_SECONDS,
    ) -> None:
        self._folder = landing / LOG_FOLDER
        self._declared, self._dropped, self._file_seconds = declared, dropped, file_seconds
        self._queue: queue.Queue[Record | None] = queue.Queue(MOST_WAITING)
        self._file: _LogFile | None = None
        self._thread = threading.Thread(target=self._write, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to write, if a use case declares it; what a killed process left behind appears."""
        if self._declared:
            finish_leftovers(self._folder)
            self._thread.start()

    def close(self) -> None:
        """Write what waits; the open file appears."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(10)

    def note(self, request: HttpRequest, use_case: str, answer: Answer) -> None:
        """Queue `answer` if its use case declares a log and the answer is drawn."""
        declared = self._declared.get(use_case)
        if declared is None or random.random() >= declared.share:
            return
        try:
            self._queue.put_nowait(Record(datetime.now(UTC), request.id, use_case, declared, answer))
        except queue.Full:
            self._dropped()

    def _write(self) -> None:
        """Write until the end; a full disk or a missing folder costs records, and never the thread."""
        while True:
            try:
                record = self._queue.get(timeout=1.0)
            except queue.Empty:
                self._finish(datetime.now(UTC).date())
                continue
            if record is None:
                self._finish(None)
                return
            self._finish(record.at.date())
            try:
                self._file = self._file or _LogFile(self._folder, record.at.date(), self._file_seconds)
                self._file.add(as_line(record))
            except OSError:
                self._dropped()
                self._file = None

    def _finish(self, today: date | None) -> None:
        """Let the open file appear, if there is one and it is due; without a day it is."""
        if self._file is None or not (today is None or self._file.due(today)):
            return
        file, self._file = self._file, None
        try:
            file.finish()
        except OSError:
            self._dropped()


class _LogFile:
    """One file while it is written."""

    def __init__(self, folder: Path, day: date, seconds: float) -> None:
        self._day, self._until = day, time.monotonic() + seconds
        name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.ndjson"
        self._path = folder / f"dt={day.isoformat()}" / name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self._path.with_name(f".{name}{PART}")
        self._file: BinaryIO = self._part.open("wb")

    def due(self, today: date) -> bool:
        """Whether it should appear now."""
        return today != self._day or time.monotonic() >= self._until

    def add(self, line: bytes) -> None:
        """One more line."""
        self._file.write(line)

    def finish(self) -> None:
        """Let it appear."""
        self._file.close()
        self._part.replace(self._path)


def as_line(record: Record) -> bytes:
    """The record as a line of JSON: without ids and features, unless the use case declares them."""
    answer: dict[str, Any] = orjson.loads(record.answer.body)
    answer.pop("features", None)
    items: list[dict[str, Any]] = answer.pop("items", None) or [answer]
    for item in items:
        if not record.declared.entity:
            item.pop("entity_id", None)
    if record.declared.features and record.answer.features is not None:
        answer["features"] = record.answer.features()
    line = {"request_id": record.request_id, "at": record.at, **answer}
    if items[0] is not answer:
        line["items"] = items
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def finish_leftovers(folder: Path) -> None:
    """Let files of killed processes of this machine appear, without a last line that was cut short."""
    host = socket.gethostname()
    for part in folder.glob(f"dt=*/.{host}-*{PART}"):
        process = part.name.removeprefix(f".{host}-").partition("-")[0]
        if process.isdigit() and Path(f"/proc/{process}").exists():
            continue
        whole, newline, _ = part.read_bytes().rpartition(b"\n")
        part.write_bytes(whole + newline)
        part.replace(part.with_name(part.name.removeprefix(".").removesuffix(PART)))
