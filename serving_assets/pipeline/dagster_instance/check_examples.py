"""The rows that failed checks show, in Dagster's event log: finding and removing those that name a person.

Here: Dagster's tables of events and of check evaluations. Not here: who is erased (pipeline/privacy/erase_person.py).

Dagster has no call that changes an event, and deleting a run would also take the record that its partitions were made.
So the stored evaluation is rewritten in place, in each of the tables that hold it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import deserialize_value, serialize_value
from dagster_shared.record import replace
from sqlalchemy import Connection, Table, select, update

EXAMPLES = "examples"
Names = Callable[[object], bool]
"""Whether a value identifies one of the persons looked for."""


def count_examples(instance: dg.DagsterInstance, names: Names) -> int:
    """Return how many example rows of check evaluations name one of the persons; reads every evaluation."""
    return sum(named for _, _, _, named in _found(instance, names))


def remove_examples(instance: dg.DagsterInstance, names: Names) -> int:
    """Remove the example rows that name one of the persons from every stored evaluation; return how many."""
    storage, removed = instance.event_log_storage, 0
    assert isinstance(storage, SqlEventLogStorage)
    for row, run_id, entry, named in list(_found(instance, names)):
        kept = serialize_value(_without(entry, names))
        with storage.index_connection() as connection:
            table = AssetCheckExecutionsTable
            connection.execute(update(table).where(table.c.id == row).values(evaluation_event=kept))
            _rewrite_events(connection, run_id, names)
        with storage.run_connection(run_id) as connection:
            _rewrite_events(connection, run_id, names)
        removed += named
    return removed


def _found(instance: dg.DagsterInstance, names: Names) -> Iterator[tuple[int, str, dg.EventLogEntry, int]]:
    """Each evaluation with such a row: its id, run and event, and the number of rows."""
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return
    wanted = select(table.c.id, table.c.run_id, table.c.evaluation_event).where(
        table.c.evaluation_event.contains(f'"{EXAMPLES}"')
    )
    with storage.index_connection() as connection:
        rows = connection.execute(wanted).fetchall()
    for row, run_id, text in rows:
        entry = deserialize_value(text, dg.EventLogEntry)
        if named := sum(_names_person(record, names) for record in _examples(entry)):
            yield row, run_id, entry, named


def _rewrite_events(connection: Connection, run_id: str, names: Names) -> None:
    table: Table = SqlEventLogStorageTable
    wanted = select(table.c.id, table.c.event).where(table.c.run_id == run_id, table.c.event.contains(f'"{EXAMPLES}"'))
    for row, text in connection.execute(wanted).fetchall():
        entry = deserialize_value(text, dg.EventLogEntry)
        if any(_names_person(record, names) for record in _examples(entry)):
            kept = serialize_value(_without(entry, names))
            connection.execute(update(table).where(table.c.id == row).values(event=kept))


def _examples(entry: dg.EventLogEntry) -> list[dg.TableRecord]:
    event = entry.dagster_event
    if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return []
    shown = event.asset_check_evaluation_data.metadata.get(EXAMPLES)
    return list(shown.records) if isinstance(shown, dg.TableMetadataValue) else []


def _without(entry: dg.EventLogEntry, names: Names) -> dg.EventLogEntry:
    event = entry.get_dagster_event()
    evaluation = event.asset_check_evaluation_data
    shown = evaluation.metadata[EXAMPLES]
    assert isinstance(shown, dg.TableMetadataValue)
    kept = [record for record in shown.records if not _names_person(record, names)]
    table = dg.MetadataValue.table(kept, schema=shown.schema)
    cleared = replace(evaluation, metadata={**evaluation.metadata, EXAMPLES: table})
    return entry._replace(dagster_event=event._replace(event_specific_data=cleared))


def _names_person(record: dg.TableRecord, names: Names) -> bool:
    return any(names(value) for value in _values(dict(record.data)))


def _values(value: Any) -> Iterator[object]:
    """Every plain value in a record, those inside texts that are JSON included: rejected rows are kept as such."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _values(each)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        try:
            yield from _values(json.loads(value))
        except ValueError:
            yield value
    else:
        yield value
