"""The activation log: which generation readers got from when on, who activated it, and why. The lake keeps it.

Here: the log of one collection, and what follows from it. Not here: the store's control record, which decides what is
active and remembers only the newest few (store/control_record.py); publishing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import ConflictError, InputError
from serving_assets.lake import NO_TABLE, LakeTable
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.published_documents import ISO, PublishedCollection
from serving_assets.store import RETIRE, Activation, Control, Generation, Pin, StoreError

ATTEMPTS = 20
INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("generation", pa.int64()),
        ("activated_at", INSTANT),
        ("kind", pa.string()),
        ("decided_by", pa.string()),
        ("reason", pa.string()),
        ("repeats", pa.int64()),
        ("published_at", INSTANT),
        ("as_of", INSTANT),
        ("model_version", pa.string()),
        ("snapshot_version", pa.int64()),
        ("rows", pa.int64()),
        ("digest", pa.string()),
        ("run_id", pa.string()),
        ("writer", pa.string()),
    ]
)
INSTANTS = ("activated_at", "as_of", "published_at")
READ = f"""
    SELECT * REPLACE ({", ".join(f"epoch_us({name}) AS {name}" for name in INSTANTS)}) FROM log ORDER BY activated_at
"""
"""Instants as integers: Arrow turns timestamps into Python's with the help of pandas, half a second to import."""
DESCRIPTION = "Which generation readers got from when on, who made it so, and why."


@dataclass(frozen=True)
class ActivationLog:
    """The log of one collection."""

    platform: Platform
    collection: PublishedCollection

    def entries(self, control: Control | None = None) -> list[Activation]:
        """All activations, oldest first, with those of `control` that are not recorded yet."""
        table = self._table()
        known = self._read(table, table.version())
        return _merged(known, _unknown(known, control))

    def record(self, control: Control | None) -> list[Activation]:
        """Add what `control` remembers and the log does not know yet; returns the whole log.

        A writer that is about to change what is active does this first, so that nothing is lost when runs are killed
        between their flip and their entry here.

        Raises:
            ConflictError: others wrote the log at every attempt.
        """
        table = self._table()
        for attempt in range(1, ATTEMPTS + 1):
            version = table.version()
            known = self._read(table, version)
            new = _unknown(known, control)
            if not new:
                return known
            whole = _merged(known, new)
            rows = pa.Table.from_pylist([_row(entry) for entry in whole], schema=SCHEMA)
            try:
                expected = NO_TABLE if version is None else version
                table.replace(rows.to_reader(), expected_version=expected, description=DESCRIPTION)
            except ConflictError:
                if attempt == ATTEMPTS:
                    raise
                continue
            return whole
        raise AssertionError("unreachable")

    def _table(self) -> LakeTable:
        return self.platform.lake.table(self.collection.publications)

    def _read(self, table: LakeTable, version: int | None) -> list[Activation]:
        if version is None:
            return []
        query = Query(READ, {"log": Input(table.scan(version=version))})
        return [_entry(row) for row in self.platform.engine.collect(query).to_pylist()]


def _unknown(known: Sequence[Activation], control: Control | None) -> list[Activation]:
    seen = {(entry.generation.number, entry.at) for entry in known}
    return [e for e in (control.activations if control else ()) if (e.generation.number, e.at) not in seen]


def _merged(known: Sequence[Activation], new: Sequence[Activation]) -> list[Activation]:
    return sorted([*known, *new], key=lambda entry: entry.at)


def is_lost(control: Control | None, log: Sequence[Activation]) -> bool:
    """Whether the store does not know, or no longer knows, what the log says was activated last."""
    if not log or log[-1].kind == RETIRE:
        return False
    if control is None or not control.activations:
        return True
    return control.activations[-1].at < log[-1].at


LOST = "the store had lost generation"
"""How the reason begins of whatever became active after a loss."""


def loss(log: Sequence[Activation]) -> str:
    """The reason of whatever becomes active after the store lost what the log says."""
    return f"{LOST} {log[-1].generation.number}"


def refuse_lost(collection: PublishedCollection, control: Control | None, log: Sequence[Activation]) -> Control:
    """The control record of a collection that is what the log says.

    Raises:
        InputError: nothing was ever published.
        StoreError: the store has lost what was published.
    """
    if is_lost(control, log):
        lost = log[-1]
        raise StoreError(
            f"{collection.name} is unavailable: the store has lost generation {lost.generation.number}, active since "
            f"{lost.at}.",
            hint=f"Bring it back from the lake: serving-assets restore {collection.use_case}.",
        )
    if control is None or control.published is None:
        raise InputError(
            f"Nothing of {collection.name} has been published yet.",
            hint="Materialize its online asset: make demo, or serving-assets backfill.",
        )
    return control


def active_at(log: Sequence[Activation], instant: datetime) -> int | None:
    """The index of the activation that readers at `instant` were served by; None before the first."""
    found = None
    for index, entry in enumerate(log):
        if datetime.fromisoformat(entry.at) <= instant:
            found = index
    return found


def pin_of(log: Sequence[Activation]) -> Pin | None:
    """The pin in force after the last entry: a restore leaves it as it is."""
    for entry in reversed(log):
        if entry.kind != "restore":
            return Pin(entry.by, entry.at, entry.reason) if entry.kind == "rollback" else None
    return None


def origin(generation: Generation) -> int:
    """The number under which its documents were first published."""
    return generation.number if generation.repeats is None else generation.repeats


def standing(log: Sequence[Activation]) -> list[int]:
    """The origins that count, oldest first, the active one last: what was rolled back from counts no longer."""
    stack: list[int] = []
    for entry in log:
        number = origin(entry.generation)
        if number in stack:
            del stack[stack.index(number) :]
        stack.append(number)
    return stack


def of_origin(log: Sequence[Activation], number: int) -> Generation:
    """The newest generation with the documents first published as `number`.

    Raises:
        KeyError: there is none.
    """
    for entry in reversed(log):
        if origin(entry.generation) == number:
            return entry.generation
    raise KeyError(number)


def _row(entry: Activation) -> dict[str, Any]:
    generation = entry.generation
    return {
        "generation": generation.number,
        "activated_at": datetime.fromisoformat(entry.at),
        "kind": entry.kind,
        "decided_by": entry.by,
        "reason": entry.reason,
        "repeats": generation.repeats,
        "published_at": datetime.fromisoformat(generation.published_at),
        "as_of": datetime.strptime(generation.as_of, ISO).replace(tzinfo=UTC),
        "model_version": generation.model_version,
        "snapshot_version": generation.snapshot_version,
        "rows": generation.rows,
        "digest": str(generation.digest),
        "run_id": generation.run_id,
        "writer": generation.writer,
    }


def _entry(row: dict[str, Any]) -> Activation:
    generation = Generation(
        number=row["generation"],
        as_of=_instant(row["as_of"]).strftime(ISO),
        model_version=row["model_version"],
        snapshot_version=row["snapshot_version"],
        rows=row["rows"],
        digest=int(row["digest"]),
        run_id=row["run_id"],
        writer=row["writer"],
        published_at=_text(row["published_at"]),
        repeats=row["repeats"],
    )
    return Activation(generation, _text(row["activated_at"]), row["kind"], row["decided_by"], row["reason"])


def _text(microseconds: int) -> str:
    return _instant(microseconds).isoformat(timespec="microseconds")


def _instant(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
