"""Admission: the key, its rate, and the host name that a server without keys answers to.

Here: admission of one request. Not here: the keys' file (keys.py), limits of one request's size and time (request.py,
app.py).
"""

from __future__ import annotations

import ipaddress
import time
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

from serving_assets.errors import InputError
from serving_assets.serving.http.keys import ApiKey, KeyRing, read_ring, recognise
from serving_assets.serving.http.problems import Problem
from serving_assets.serving.http.request import HttpRequest

BURST_SECONDS = 2.0
LOOK_SECONDS = 1.0


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine to itself alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Bucket:
    """A token bucket: `rate` a second, with a burst of two seconds' worth."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(rate * BURST_SECONDS, 1.0)
        self._tokens, self._at = self._most, time.monotonic()

    def take(self) -> float:
        """Take a token; returns 0, or the seconds until there is one."""
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._most)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0


class Guard:
    """Admits requests.

    Args:
        path: the file of the keys.
        public: whether the server is bound to more than loopback, so that keys are required whatever the file holds.
        workers: processes that share each key's rate.

    Raises:
        InputError: the file cannot be understood.
    """

    def __init__(self, path: Path, *, public: bool, workers: int = 1) -> None:
        self._path, self._public, self._workers = path, public, workers
        self._seen: tuple[int, int, int] | None = None
        self._ring: dict[str, ApiKey] = {}
        self._buckets: dict[str, Bucket] = {}
        self._looked = 0.0
        self._load()

    @property
    def keyless(self) -> bool:
        """Whether no key is required: none was ever made, and only this machine can reach the server."""
        return not self._public and not self._ring

    def admit(self, request: HttpRequest) -> None:
        """Admit `request` with the scopes of its key.

        Raises:
            Problem: 401, 429, or 421 when a keyless server is addressed by another name than this machine's.
        """
        self._look_again()
        if self.keyless:
            self._same_machine(request)
            return
        key = self._presented(request)
        if key is None:
            raise Problem(
                "unauthorized",
                "Send it as the header x-api-key, or as authorization: Bearer.",
                headers=((b"www-authenticate", b'Bearer realm="serving-assets"'),),
            )
        request.scopes = frozenset(key.scopes)
        request.client = key.client
        if key.rate is not None:
            self._within_rate(key, key.rate)

    def recognise(self, request: HttpRequest) -> None:
        """Give a request to an open route the scopes of its key: none without a key, all on a keyless server."""
        self._look_again()
        if not self.keyless:
            key = self._presented(request)
            request.scopes = frozenset(key.scopes if key else ())

    def _presented(self, request: HttpRequest) -> ApiKey | None:
        presented = request.headers.get(b"x-api-key")
        if presented is None:
            scheme, _, rest = request.headers.get(b"authorization", b"").partition(b" ")
            presented = rest.strip() if scheme.lower() == b"bearer" else None
        if presented is not None and len(presented) <= 256:
            key = recognise(self._ring, presented.decode("ascii", "replace"), datetime.now(UTC))
            return key
        return None

    def _within_rate(self, key: ApiKey, rate: float) -> None:
        bucket = self._buckets.get(key.id)
        if bucket is None:
            bucket = self._buckets[key.id] = Bucket(rate / self._workers)
        wait = bucket.take()
        if wait:
            raise Problem("too-many-requests", f"It may send {rate:g} requests a second.", retry_after=ceil(wait))

    def _same_machine(self, request: HttpRequest) -> None:
        """Refuse a page of another site whose name was made to point here: its requests carry that name."""
        host = request.headers.get(b"host", b"localhost").decode("ascii", "replace")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if not is_loopback(name):
            raise Problem(
                "misdirected-request",
                "It has no API keys, so the host must be localhost; create a key to use another name.",
            )

    def _look_again(self) -> None:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        """Read the keys again if their file has changed; a file that cannot be understood changes nothing."""
        self._looked = time.monotonic()
        try:
            self._load()
        except (InputError, OSError):
            return

    def _load(self) -> None:
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_ino, found.st_size)
        except FileNotFoundError:
            mark = None
        if mark == self._seen and mark is not None:
            return
        if mark is None and self._ring:
            return  # deleting the file does not open the server
        ring: KeyRing = read_ring(self._path)
        self._seen = mark
        self._ring = {key.id: key for key in ring.keys}
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in self._ring}
