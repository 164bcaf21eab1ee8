"""API keys: which client may read which use cases, and at which rate.

Here: the file that holds them (only hashes), creating, revoking and recognising keys. Not here: the commands
(commands/keys.py), or when a key is required (guard.py).

A key is `sa_<id>_<secret>`; the secret has 256 random bits, so one round of SHA-256 keeps it as well as any slow hash
would.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from serving_assets.catalog.columns import Spec
from serving_assets.errors import ConflictError, InputError

PREFIX = "sa"
VALID_AT_ONCE = 2
EVERYTHING = "*"


class ApiKey(Spec):
    """What is kept of a key. `scopes` are use cases, or `*`; `rate` is requests per second, None without a limit."""

    id: str
    client: str
    hash: str
    scopes: tuple[str, ...]
    rate: Annotated[float, Field(gt=0)] | None
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def valid(self, now: datetime) -> bool:
        """Whether it is accepted at `now`."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class KeyRing(Spec):
    """All keys that were ever created. Revoked ones stay, so that no server takes a used ring for "no keys needed"."""

    keys: tuple[ApiKey, ...] = ()


def read_ring(path: Path) -> KeyRing:
    """The keys in the file at `path`; none when there is no file.

    Raises:
        InputError: the file cannot be read or understood.
    """
    try:
        return KeyRing.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return KeyRing()
    except (OSError, ValidationError) as error:
        raise InputError(
            f"The API keys in {path} cannot be read: {type(error).__name__}.",
            hint="Restore the file; or move it away and create new keys for every client.",
        ) from error


def recognise(ring: dict[str, ApiKey], presented: str, now: datetime) -> ApiKey | None:
    """The valid key that `presented` is, of a ring by id; compared in constant time."""
    prefix, _, rest = presented.partition("_")
    name, _, secret = rest.partition("_")
    key = ring.get(name) if prefix == PREFIX else None
    digest = _hash(secret)
    if key is None or not hmac.compare_digest(digest, key.hash) or not key.valid(now):
        return None
    return key


def create_key(
    path: Path, client: str, scopes: Sequence[str], *, rate: float | None, days: int | None
) -> tuple[ApiKey, str]:
    """Make a key for `client` and keep its hash; return what is kept, and the key itself, which is not kept.

    Raises:
        ConflictError: the client has two valid keys already.
        InputError: the file cannot be understood.
    """
    now = datetime.now(UTC)
    with _locked(path):
        ring = read_ring(path)
        valid = [key.id for key in ring.keys if key.client == client and key.valid(now)]
        if len(valid) >= VALID_AT_ONCE:
            raise ConflictError(
                f"{client} has {len(valid)} valid keys already: {', '.join(valid)}.",
                hint="Revoke the one that is no longer used: serving-assets keys revoke KEY_ID.",
            )
        name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = ApiKey(
            id=name,
            client=client,
            hash=_hash(secret),
            scopes=tuple(scopes),
            rate=rate,
            created=now,
            expires=now + timedelta(days=days) if days else None,
        )
        _write(path, KeyRing(keys=(*ring.keys, key)))
    return key, f"{PREFIX}_{name}_{secret}"


def revoke_key(path: Path, name: str) -> ApiKey:
    """Revoke the key with the id `name`; every server refuses it within two seconds.

    Raises:
        InputError: there is no such key.
    """
    with _locked(path):
        ring = read_ring(path)
        found = next((key for key in ring.keys if key.id == name), None)
        if found is None:
            raise InputError(f"No key has the id {name}.", hint="serving-assets keys list names them.")
        revoked = found.model_copy(update={"revoked": found.revoked or datetime.now(UTC)})
        _write(path, KeyRing(keys=tuple(revoked if key.id == name else key for key in ring.keys)))
    return revoked


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, ring: KeyRing) -> None:
    """The whole ring, readable by this user alone, in one rename."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(ring.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
