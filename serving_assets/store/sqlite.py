"""The online store in one SQLite file: the embedded default.

Here: the protocol's primitives in SQL. Not here: the protocol itself, and how the file is opened and shared
(sqlite_file.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from serving_assets.store.control_record import Control, Ranges
from serving_assets.store.protocol import OnlineStore
from serving_assets.store.records import BareChange, Document, Entity, StoreError
from serving_assets.store.sqlite_connection import Connection
from serving_assets.store.sqlite_file import SqliteFile

READ_IDS = 500
SCAN_ROWS = 5_000

SELECT = "SELECT entity, cur_g, cur, prev_g, prev FROM documents"

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS controls (
        id INTEGER PRIMARY KEY, collection TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, body TEXT NOT NULL
    )""",
    # `entity` has no type, so that 1 and '1' stay two keys.
    """CREATE TABLE IF NOT EXISTS documents (
        collection INTEGER NOT NULL, entity NOT NULL, cur_g INTEGER NOT NULL, cur TEXT, prev_g INTEGER, prev TEXT,
        PRIMARY KEY (collection, entity)
    ) WITHOUT ROWID""",
)


class SqliteStore(OnlineStore):
    """An OnlineStore in the SQLite file at `path`, which is created when first used.

    Args:
        path: the file; its folder is created too.
        timeout_seconds: how long a write waits for another process's write.
    """

    def __init__(self, path: Path | str, *, timeout_seconds: float = 30.0) -> None:
        self._file = SqliteFile(Path(path), SCHEMA, timeout_seconds)

    def control(self, collection: str) -> Control | None:
        """One row, parsed anew only when its revision has moved."""
        with self._file.reading() as connection:
            known: Control | None = connection.remembered.get(("control", collection))
            row = connection.execute(
                "SELECT revision, CASE WHEN revision IS NOT ?2 THEN body END FROM controls WHERE collection = ?1",
                (collection, known.revision if known else None),
            ).fetchone()
            if row is None:
                return None
            if known is None or row[1] is not None:
                known = connection.remembered["control", collection] = _parse(collection, *row)
            return known

    def swap(self, collection: str, expected_revision: int, control: Control) -> bool:
        """One statement, synced to disk."""
        if expected_revision == 0:
            sql = "INSERT INTO controls (collection, revision, body) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
        else:
            where = f"collection = ?1 AND revision = {expected_revision:d}"
            sql = f"UPDATE controls SET revision = ?2, body = ?3 WHERE {where}"
        with self._file.writing(durable=True) as connection:
            return connection.execute(sql, (collection, control.revision, json.dumps(asdict(control)))).rowcount == 1

    def collections(self) -> list[str]:
        """All of them, in one statement."""
        with self._file.reading() as connection:
            return [name for (name,) in connection.execute("SELECT collection FROM controls ORDER BY collection")]

    def documents(self, collection: str, entities: Sequence[Entity]) -> dict[Entity, Document]:
        """As many statements as the number of `entities` asks for; each sees one state of the file."""
        found: dict[Entity, Document] = {}
        with self._file.reading() as connection:
            number = _id(connection, collection)
            for start in range(0, len(entities), READ_IDS):
                some = entities[start : start + READ_IDS]
                sql = f"{SELECT} WHERE collection = {number} AND entity IN ({', '.join('?' * len(some))})"
                found |= {row[0]: Document._make(row) for row in connection.execute(sql, some)}
        return found

    def every_document(self, collection: str) -> Iterator[Document]:
        """Page after page: one long read would keep the log from being folded back into the file."""
        after, last = "", ()
        while True:
            with self._file.reading() as connection:
                number = _id(connection, collection)
                sql = f"{SELECT} WHERE collection = {number} {after} ORDER BY entity LIMIT {SCAN_ROWS}"
                rows = connection.execute(sql, last).fetchall()
            yield from map(Document._make, rows)
            if len(rows) < SCAN_ROWS:
                return
            after, last = "AND entity > ?", rows[-1][:1]

    def upsert(
        self, collection: str, generation: int, base: int | None, void: Ranges, changes: Sequence[BareChange]
    ) -> None:
        """One transaction. Numbers stand in the text: to bind six values per row costs more than the insert itself."""
        b, prev = _base(base, f"CASE WHEN cur_g <= {base} AND NOT {_is_void(void)} THEN cur ELSE prev END")
        with self._file.writing() as connection:
            sql = (
                f"INSERT INTO documents VALUES ({_id(connection, collection)}, ?1, {generation:d}, ?2, {b}, NULL)"
                f" ON CONFLICT DO UPDATE SET cur_g = {generation:d}, cur = ?2, prev_g = {b}, prev = {prev}"
                f" WHERE cur_g <= {generation:d}"
            )
            # Of exact tuples sqlite3 binds the values directly, which saves a tenth.
            connection.executemany(sql, [(entity, new) for entity, _, new in changes])

    def settle(self, collection: str, generation: int, base: int | None, void: Ranges) -> int:
        """One statement."""
        b, prev = _base(base, "prev")
        stray = "TRUE" if base is None else f"(cur_g > {b} OR {_is_void(void)})"
        assignments = f"cur_g = {generation:d}, cur = {prev}, prev_g = {b}, prev = {prev}"
        return self._change(f"UPDATE documents SET {assignments}", collection, f"cur_g < {generation:d} AND {stray}")

    def clear(self, collection: str, generation: int, base: int | None, void: Ranges) -> int:
        """One statement."""
        if base is None:
            return 0
        assignments = f"cur_g = {generation:d}, cur = NULL, prev_g = {base:d}, prev = cur"
        where = f"cur IS NOT NULL AND cur_g <= {base:d} AND NOT {_is_void(void)}"
        return self._change(f"UPDATE documents SET {assignments}", collection, where)

    def count(self, collection: str, generation: int, void: Ranges) -> int:
        """One statement that looks at every document."""
        slot = f"CASE WHEN cur_g <= {generation:d} AND NOT {_is_void(void)} THEN cur ELSE prev END"
        with self._file.reading() as connection:
            sql = f"SELECT count({slot}) FROM documents WHERE collection = {_id(connection, collection)}"
            return int(connection.execute(sql).fetchone()[0])

    def remove(self, collection: str, newest: int, void: Ranges) -> int:
        """One statement."""
        where = f"cur IS NULL AND cur_g <= {newest:d} AND NOT {_is_void(void)}"
        return self._change("DELETE FROM documents", collection, where)

    def close(self) -> None:
        """Close the connections of all threads of this process."""
        self._file.close()

    def _change(self, verb: str, collection: str, where: str) -> int:
        with self._file.writing() as connection:
            return connection.execute(f"{verb} WHERE collection = {_id(connection, collection)} AND {where}").rowcount


def _id(connection: Connection, collection: str) -> int:
    """The number that stands for `collection` in `documents`; -1, which has none, before its first publish."""
    number: int | None = connection.remembered.get(("id", collection))
    if number is None:
        row = connection.execute("SELECT id FROM controls WHERE collection = ?", (collection,)).fetchone()
        if row is None:
            return -1
        number = connection.remembered["id", collection] = row[0]
    return number


def _base(base: int | None, value: str) -> tuple[str, str]:
    """SQL for `prev_g` and `prev`: an empty slot before the first generation."""
    return ("NULL", "NULL") if base is None else (str(int(base)), value)


def _is_void(void: Ranges) -> str:
    return "(" + (" OR ".join(f"cur_g BETWEEN {int(first)} AND {int(last)}" for first, last in void) or "FALSE") + ")"


def _parse(collection: str, revision: int, body: str) -> Control:
    try:
        return Control.from_record(json.loads(body))
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{collection}: the control record (revision {revision}) cannot be understood: {error!r}.",
            hint="It was damaged, or written by a newer version of this project: restore the file or upgrade.",
        ) from error
