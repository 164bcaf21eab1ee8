"""Structured logs: one JSON object a line.

Here: requests and events, written in batches so that no request waits for a disk. Not here: metrics (metrics.py), the
prediction log (prediction_log.py).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

FLUSH_SECONDS = 0.25
MOST_WAITING = 20_000


class JsonLog:
    """Lines on `stream`. What cannot be written in time is dropped and counted, never waited for."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._waiting: list[bytes] = []
        self._dropped = 0
        self._scheduled = False

    def write(self, event: str, **members: Any) -> None:
        """Keep a line for the next flush."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        line = {"at": datetime.now(UTC), "event": event, **members}
        self._waiting.append(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
        if not self._scheduled:
            try:
                asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
            except RuntimeError:  # outside the server's loop: at the start and at the end
                self.flush()
            else:
                self._scheduled = True

    def flush(self) -> None:
        """Write what waits."""
        self._scheduled = False
        lines, self._waiting = self._waiting, []
        if self._dropped:
            lines.append(orjson.dumps({"event": "log_lines_dropped", "lines": self._dropped}) + b"\n")
            self._dropped = 0
        try:
            self._stream.write(b"".join(lines).decode())
            self._stream.flush()
        except (OSError, ValueError):  # the reader of the pipe is gone: serving goes on
            return


class JsonHandler(logging.Handler):
    """What libraries log, as lines of a JsonLog."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record, with its traceback."""
        members: dict[str, Any] = {"level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            members["traceback"] = (self.formatter or logging.Formatter()).formatException(record.exc_info)
        self._log.write("log", **members, message=record.getMessage())
