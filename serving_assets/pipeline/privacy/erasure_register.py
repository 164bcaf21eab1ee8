"""The register of persons to be erased: who asked when, how far it is, and who must not come back.

Here: the register, by keyed hashes alone, and its secret. Not here: the erasure (erase_person.py), or the hash
(engines/person_hash.py).

The register is a table of the lake, because every machine that lands files must know it; the secret is not, because
with both, trial shows who was erased.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from serving_assets.catalog.discovery import Table
from serving_assets.catalog.persons import key_columns
from serving_assets.catalog.spec import Entity
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import ConflictError, InputError, ServingAssetsError
from serving_assets.lake import NO_TABLE
from serving_assets.pipeline.platform import Platform

REGISTER = "erasures/requests"
SECRET_FILE = "erasure.secret"
ATTEMPTS = 20

_INSTANT = pa.timestamp("us", tz="UTC")
_SCHEMA = pa.schema(
    [
        ("subject", pa.string()),
        ("key", pa.string()),
        ("secret_id", pa.string()),
        ("requested_at", _INSTANT),
        ("due_at", _INSTANT),
        ("begun_at", _INSTANT),
        ("erased_at", _INSTANT),
        ("removed", pa.string()),
    ]
)


@dataclass(frozen=True)
class ErasureRequest:
    """One person's erasure, without personal data.

    Attributes:
        subject: the keyed hash.
        key: name of the entity key.
        secret_id: tells whether the secret is still the one that `subject` was made with.
        requested_at, due_at: when it was asked for, and when the legal delay ends.
        begun_at: from then on no row of the person is landed any more.
        erased_at: when it was proven that nothing is left; None until then.
        removed: rows by table and documents by collection.
    """

    subject: str
    key: str
    secret_id: str
    requested_at: datetime
    due_at: datetime
    begun_at: datetime | None = None
    erased_at: datetime | None = None
    removed: Mapping[str, int] = field(default_factory=dict)


def entity_of(platform: Platform, key: str) -> Entity:
    """Return the entity whose key is called `key`, of a use case or of what use cases that are gone have left.

    Raises:
        InputError: neither a use case nor a table has such a key.
    """
    entities = {use_case.spec.entity.key: use_case.spec.entity for use_case in platform.catalog.use_cases.values()}
    if key in entities:
        return entities[key]
    dtype = _dtype_in_the_lake(platform, key)
    if dtype is None:
        known = ", ".join(sorted(entities)) or "none"
        raise InputError(f"No use case and no table has an entity key {key!r}.", hint=f"Declared keys: {known}.")
    return Entity(key=key, dtype=dtype)


def _dtype_in_the_lake(platform: Platform, key: str) -> Literal["int64", "string"] | None:
    """The type of a key that no use case declares, as the tables have it; None where none has it."""
    for name in platform.lake.tables():
        schema = platform.lake.table(name).schema() or pa.schema([])
        if key in schema.names:
            return "int64" if pa.types.is_integer(schema.field(key).type) else "string"
    return None


def requests(platform: Platform) -> list[ErasureRequest]:
    """Every request, oldest first."""
    table = platform.lake.table(REGISTER)
    if not table.exists():
        return []
    rows = platform.engine.collect(Query("SELECT * FROM t ORDER BY requested_at, subject", {"t": Input(table.scan())}))
    return [ErasureRequest(**{**row, "removed": json.loads(row["removed"])}) for row in rows.to_pylist()]


def request_of(platform: Platform, key: str, entity: int | str) -> ErasureRequest | None:
    """The request to erase this person, or None; what answers about persons asks this first."""
    if not platform.lake.table(REGISTER).exists():
        return None
    subject = subjects(platform, key, ()).hash(entity)
    return next((request for request in requests(platform) if (request.subject, request.key) == (subject, key)), None)


def ask(platform: Platform, key: str, entity: int | str, now: datetime | None = None) -> ErasureRequest:
    """Enter a request into the register; one that is there already stays as it is."""
    secret, instant = _secret(platform, create=True), now or datetime.now(UTC)
    due = instant + timedelta(days=platform.settings.erasure_delay_days)
    asked = ErasureRequest(subjects(platform, key, ()).hash(entity), key, _secret_id(secret), instant, due)

    def entered(known: Sequence[ErasureRequest]) -> list[ErasureRequest]:
        return [*known] if any(request.subject == asked.subject for request in known) else [*known, asked]

    return next(request for request in _change(platform, entered) if request.subject == asked.subject)


def update(platform: Platform, subject: str, **changes: Any) -> ErasureRequest:
    """Change what the register says of one subject."""

    def changed(known: Sequence[ErasureRequest]) -> list[ErasureRequest]:
        return [replace(request, **changes) if request.subject == subject else request for request in known]

    return next(request for request in _change(platform, changed) if request.subject == subject)


def subjects(platform: Platform, key: str, hashes: Iterable[str]) -> PersonHashes:
    """These persons, of the kind that `key` identifies."""
    return PersonHashes(key, entity_of(platform, key).dtype, frozenset(hashes), _secret(platform, create=False))


def left_out(platform: Platform, table: Table) -> dict[str, PersonHashes]:
    """By column of a source, the persons whose rows must not be landed.

    Raises:
        ServingAssetsError: when the secret is missing or another one, so that no person could be recognised.
    """
    begun: dict[str, set[str]] = {}
    for request in requests(platform):
        if request.begun_at is not None:
            _check_secret(platform, request)
            begun.setdefault(request.key, set()).add(request.subject)
    columns = {key: key_columns(platform.catalog.tables, key)[table.lake_name] for key in begun}
    return {column: subjects(platform, key, begun[key]) for key in begun for column in columns[key]}


def _change(
    platform: Platform, change: Callable[[Sequence[ErasureRequest]], list[ErasureRequest]]
) -> list[ErasureRequest]:
    """Rewrite the register; two that change it at the same time both do."""
    table = platform.lake.table(REGISTER)
    for attempt in range(ATTEMPTS):
        version = table.version()
        known = requests(platform)
        after = change(known)
        if after == known:
            return after
        rows = [{**asdict(request), "removed": json.dumps(dict(request.removed))} for request in after]
        reader = pa.Table.from_pylist(rows, schema=_SCHEMA).to_reader()
        try:
            table.replace(reader, expected_version=NO_TABLE if version is None else version)
        except ConflictError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return after
    raise AssertionError


def _secret(platform: Platform, *, create: bool) -> str:
    """The key of the hashes: the setting, or what stands in the data folder, where it is made when first needed."""
    if (given := platform.settings.erasure_secret) is not None:
        return given.get_secret_value()
    path = platform.settings.data_dir / SECRET_FILE
    if not path.exists() and create and not platform.lake.table(REGISTER).exists():
        _create(path)
    if not path.exists():
        raise ServingAssetsError(
            f"The secret of the register of erasures is not in {path}, so erased persons cannot be recognised.",
            hint="Restore the file, or set ERASURE_SECRET to what it held.",
        )
    return path.read_text(encoding="ascii").strip()


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    try:
        path.hardlink_to(fresh)  # not a rename: of two that are first, both must end with the same secret
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _secret_id(secret: str) -> str:
    return sha256(f"which secret\x1f{secret}".encode()).hexdigest()[:12]


def _check_secret(platform: Platform, request: ErasureRequest) -> None:
    if _secret_id(_secret(platform, create=False)) != request.secret_id:
        raise ServingAssetsError(
            f"The erasure requested at {request.requested_at.isoformat(timespec='seconds')} was entered with another "
            "secret than the present one, so this person cannot be recognised.",
            hint=f"Set ERASURE_SECRET, or restore {SECRET_FILE}, to the secret of that time.",
        )
