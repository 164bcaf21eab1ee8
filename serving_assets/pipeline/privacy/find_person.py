"""Where a person is named: rows, data files of any version or of none, the log, the documents of the online store.

Here: finding, by keyed hash. Not here: removing (erase_person.py), or what was served to whom
(pipeline/observing/prediction_provenance.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from serving_assets.catalog.columns import identifier, literal
from serving_assets.catalog.names import quarantined_table
from serving_assets.catalog.persons import key_columns
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.engines.protocol import Input, Query, Rows
from serving_assets.errors import QueryError, ServingAssetsError
from serving_assets.lake import LakeTable
from serving_assets.pipeline.platform import Platform
from serving_assets.store import OnlineStore

_LOG = "_delta_log/"
_FILE = "data file"


@dataclass(frozen=True)
class Holder:
    """A table that may name persons: the columns to read, and the SQL of each place in them where a key stands."""

    table: LakeTable
    columns: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """What still names a person: `what` at `where`, how often, and what to do where trying again is not enough."""

    what: str
    where: str
    count: int
    hint: str = ""


def holders(platform: Platform, key: str) -> list[Holder]:
    """Every table of the lake with a column that holds `key`, and the rejects of every source that has one."""
    known = key_columns(platform.catalog.tables, key)
    found = []
    for name in _in_order(platform):
        table = platform.lake.table(name)
        names = (table.schema() or pa.schema([])).names
        raw_table = quarantined_table(name)
        landed = known.get(raw_table, frozenset({key})) if raw_table else None  # an undeclared source may have the key
        if landed:
            places = tuple(f"json_extract_string(row, {literal(f'$.{column}')})" for column in sorted(landed))
            found.append(Holder(table, ("row",), places))
        elif columns := tuple(column for column in sorted(known.get(name, frozenset()) | {key}) if column in names):
            found.append(Holder(table, columns, tuple(map(identifier, columns))))
    return found


def rows_naming(platform: Platform, holder: Holder, subjects: PersonHashes) -> dict[str, int]:
    """Rows of the newest version that name one of them, by hash."""
    hashes = ", ".join(map(subjects.hash_sql, holder.places))
    sql = f"""
        SELECT subject, count(*) AS n FROM (SELECT unnest(list_distinct([{hashes}])) AS subject FROM t)
        WHERE subject IN ({", ".join(map(literal, sorted(subjects.hashes)))}) GROUP BY subject
    """
    query = Query(sql, {"t": Input(holder.table.scan())}, {"secret": subjects.secret})
    return {row["subject"]: row["n"] for row in platform.engine.collect(query).to_pylist()}


def files_naming(platform: Platform, holder: Holder, subjects: PersonHashes) -> set[str]:
    """Every data file in the table's folder, of any version or of none, that names one of them, or cannot be read."""
    files = [file.path for file in holder.table.storage.walk() if file.path.endswith(".parquet")]
    data = {path for path in files if not path.startswith(_LOG)}
    readable = {path for path in data if _has_footer(holder.table, path)}
    return (data - readable) | _search(platform, holder, subjects, sorted(readable))


def log_names(holder: Holder, subjects: PersonHashes) -> int:
    """How often the log names one of them, as the smallest or largest value of a file's column."""
    storage, count = holder.table.storage, 0
    for name in storage.files("_delta_log"):
        for statistics in _statistics(holder.table, f"{_LOG}{name}"):
            for side in ("minValues", "maxValues"):
                values: Mapping[str, Any] = statistics.get(side) or {}
                count += sum(subjects.among(values[column]) for column in holder.columns if column in values)
    return count


def documents_naming(
    store: OnlineStore, collection: str, subjects: PersonHashes
) -> tuple[list[int | str], list[int | str]]:
    """The ids of documents of theirs: those with a value in a slot, and those of which an empty tombstone is left."""
    full: list[int | str] = []
    empty: list[int | str] = []
    for document in store.every_document(collection):
        if subjects.among(document.entity):
            (empty if document.cur is None and document.prev is None else full).append(document.entity)
    return full, empty


def names_one_of(subjects: PersonHashes) -> Callable[[object], bool]:
    """Return whether a value, of the key's type or written as text, identifies one of them."""

    def names(value: object) -> bool:
        if subjects.dtype == "int64" and isinstance(value, str):
            return value.strip().lstrip("-").isdecimal() and subjects.among(int(value))
        return subjects.among(value)

    return names


def _in_order(platform: Platform) -> list[str]:
    """The tables that exist, those first from which others are made: so that none is made of what is erased later."""
    order = [name for table in platform.catalog.tables.values() for name in (table.quarantine, table.lake_name)]
    stages = ("features", "training_set", "predictions", "historic", "latest")
    order += [case.lake_name(stage) for stage in stages for case in platform.catalog.use_cases.values()]
    position = {name: index for index, name in enumerate(order)}
    return sorted(platform.lake.tables(), key=lambda name: (position.get(name, len(order)), name))


def _has_footer(table: LakeTable, path: str) -> bool:
    """Whether a file was finished: a file of a killed writer has no footer, so its content is unknown."""
    try:
        with table.storage.filesystem.open_input_file(path) as file:
            pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        return False
    return True


def _search(platform: Platform, holder: Holder, subjects: PersonHashes, paths: list[str]) -> set[str]:
    import pyarrow.compute as pc
    import pyarrow.dataset as pads

    if not paths:
        return set()
    newest = holder.table.schema()
    assert newest is not None
    schema = pa.schema([*(newest.field(column) for column in holder.columns), pa.field(_FILE, pa.string())])
    form, files = pads.ParquetFileFormat(), holder.table.storage.filesystem
    fragments = [form.make_fragment(path, files, partition_expression=pc.field(_FILE) == path) for path in paths]
    dataset = pads.FileSystemDataset(fragments, schema, form, files)
    sql = f"SELECT DISTINCT {identifier(_FILE)} FROM t WHERE {subjects.condition(holder.places)}"
    try:
        found = platform.engine.collect(Query(sql, {"t": Rows(dataset)}, {"secret": subjects.secret}))
    except QueryError as error:
        raise ServingAssetsError(
            f"{holder.table.name}: a data file cannot be read, so whom it names is unknown ({error.reason}).",
            hint="Restore it from a backup, or materialize its partition again.",
        ) from error
    return set(found.column(0).to_pylist())


def _statistics(table: LakeTable, path: str) -> Iterator[Mapping[str, Any]]:
    """What one file of the log says of the columns of data files."""
    if path.endswith(".json"):
        actions = (json.loads(line) for line in table.storage.read(path).splitlines())
        stats = [action["add"].get("stats") for action in actions if "add" in action]
    elif path.endswith(".parquet"):
        with table.storage.filesystem.open_input_file(path) as file:
            added = pq.read_table(file, columns=["add"]).column("add").to_pylist()
        stats = [entry.get("stats") for entry in added if entry]
    else:
        return
    yield from (json.loads(text) for text in stats if text)
