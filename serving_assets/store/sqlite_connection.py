"""A thread's connection to a SQLite file, which another thread may ask to be closed.

Here: when it is closed, and what is remembered with it. Not here: which connections there are (sqlite_file.py).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import Any


class Connection(sqlite3.Connection):
    """A connection, with what its user has learnt of the file that it reads; both are forgotten together."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.remembered: dict[tuple[str, str], Any] = {}


class HeldConnection:
    """A thread's connection. Closing one while its thread runs a statement ends the process: it is closed when idle.

    Each has a lock of its own, which only its thread holds for long, so that no fork leaves a child a lock that it
    needs.
    """

    def __init__(self, connection: Connection) -> None:
        self.process, self.thread, self.connection = os.getpid(), threading.current_thread(), connection
        self._closing = False
        self._in_use = threading.Lock()
        self._depth = 0  # known to its thread alone

    def begin(self) -> bool:
        """Whether the connection can be used; until `end`, which must follow then, it is not closed."""
        if self._depth == 0:
            self._in_use.acquire()
        self._depth += 1
        if self._closing:
            self.end()
        return not self._closing

    def end(self) -> None:
        """End a use, and close the connection if that was asked for meanwhile."""
        self._depth -= 1
        if self._depth == 0:
            self._in_use.release()
            if self._closing:
                self.close_when_idle()

    def close_when_idle(self) -> None:
        """Close the connection now, or at the end of its use."""
        self._closing = True
        if self._in_use.acquire(blocking=False):
            self.connection.close()
            self._in_use.release()
