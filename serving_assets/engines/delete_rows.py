"""Deleting rows from a table of the lake: the partitions that hold one are rewritten without it.

Here: which partitions that is, and the rewriting. Not here: which rows, and why (pipeline/privacy/), or the removal of
the versions that still hold them (lake/vacuum.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from serving_assets.catalog.columns import identifier
from serving_assets.engines.protocol import Engine, Input, Query, Target
from serving_assets.errors import ConflictError
from serving_assets.lake import AnyOf, LakeTable, Where

ATTEMPTS = 5


def count_rows(engine: Engine, table: LakeTable, condition: str, parameters: Mapping[str, object]) -> int:
    """Rows of the newest version for which the SQL `condition` holds."""
    query = Query(f"SELECT count(*) AS n FROM t WHERE {condition}", {"t": Input(table.scan())}, parameters)
    return int(engine.collect(query).column("n")[0].as_py())


def delete_rows(engine: Engine, table: LakeTable, condition: str, parameters: Mapping[str, object]) -> int:
    """Make a version of `table` without the rows for which `condition` holds; returns how many they were.

    Rows for which it is null stay. The metadata of the newest commit is written again, because the version without
    these rows is to those who go by it what the one before was. Without such a row, nothing is written.

    Raises:
        ConflictError: other writers were faster several times in a row.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _delete(engine, table, condition, parameters)
        except ConflictError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def _delete(engine: Engine, table: LakeTable, condition: str, parameters: Mapping[str, object]) -> int:
    state = table.at()
    rows = count_rows(engine, table, condition, parameters)
    if not rows:
        return 0
    scan = table.scan(_partitions(engine, table, state.version, condition, parameters), version=state.version)
    target = Target(
        table, scan.where, state.partition_columns, table.commit_metadata(state.version), expected_version=state.version
    )
    kept = Query(f"SELECT * FROM t WHERE ({condition}) IS NOT TRUE", {"t": Input(scan)}, parameters)
    engine.transform([kept], target)
    return rows


def _partitions(
    engine: Engine, table: LakeTable, version: int, condition: str, parameters: Mapping[str, object]
) -> Where:
    """The partitions that hold such a row, and with several partition columns perhaps some that do not."""
    columns = table.at(version).partition_columns
    if not columns:
        return {}
    listed = ", ".join(map(identifier, columns))
    found = engine.collect(
        Query(
            f"SELECT DISTINCT {listed} FROM t WHERE {condition}", {"t": Input(table.scan(version=version))}, parameters
        )
    )
    return {column: AnyOf(frozenset(found.column(column).to_pylist())) for column in columns}
