"""A table of the lake brought to the column types that are declared now.

Here: tables of which daily runs replace single partitions, so that all others keep their types. Not here: tables that
every run writes as a whole (training set, latest, snapshots), whose types change by themselves; or added and removed
columns, which need no migration: they are null where there is no value.
"""

from __future__ import annotations

from collections.abc import Mapping

from serving_assets.catalog.columns import SQL_TYPES, Column, DType, identifier
from serving_assets.engines.protocol import Input, Query, Target
from serving_assets.errors import InputError, listed
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.features import feature_columns

TYPES: dict[str, DType] = {
    "bool": "bool",
    "int32": "int32",
    "int64": "int64",
    "float": "float32",
    "double": "float64",
    "string": "string",
    "date32[day]": "date",
}
"""Arrow's names of the declared types, but for instants."""


def migrate_table(platform: Platform, name: str) -> dict[str, tuple[DType, DType]]:
    """Rewrite the table `name` of the lake with the declared types, and return the columns changed: before and after.

    Raises:
        InputError: when no such table is declared, or a value would not be the same in its new type.
        ConflictError: when another writer commits meanwhile.
    """
    declared = _declared(platform, name)
    table = platform.lake.table(name)
    state = table.at()
    changed: dict[str, tuple[DType, DType]] = {}
    for field in state.schema:
        before = TYPES.get(str(field.type), "timestamp")
        if field.name in declared and before != (after := declared[field.name].dtype):
            changed[field.name] = before, after
    if not changed:
        return {}
    rows = Input(table.scan(version=state.version))
    _refuse_loss(platform, name, rows, changed)
    casts = ", ".join(f"CAST({identifier(c)} AS {_sql(after)}) AS {identifier(c)}" for c, (_, after) in changed.items())
    into = Target(table, partition_by=state.partition_columns, expected_version=state.version)
    platform.engine.transform([Query(f"SELECT * REPLACE ({casts}) FROM t", {"t": rows})], into)
    return changed


def _declared(platform: Platform, name: str) -> Mapping[str, Column]:
    catalog = platform.catalog
    tables: dict[str, Mapping[str, Column]] = {table.lake_name: table.columns for table in catalog.tables.values()}
    tables |= {bound.lake_name("features"): feature_columns(bound) for bound in catalog.use_cases.values()}
    if name not in tables:
        raise InputError(
            f"{name} is no raw, mapped or features table of the catalog.",
            hint=f"There are: {listed(sorted(tables), 20)}.",
        )
    return tables[name]


def _refuse_loss(platform: Platform, name: str, rows: Input, changed: Mapping[str, tuple[DType, DType]]) -> None:
    """A value is the same when it comes back from its new type as it was."""
    tallies = ", ".join(
        f"count(*) FILTER (TRY_CAST(TRY_CAST({identifier(c)} AS {_sql(after)}) AS {_sql(before)}) "
        f"IS DISTINCT FROM {identifier(c)}) AS {identifier(c)}"
        for c, (before, after) in changed.items()
    )
    (found,) = platform.engine.collect(Query(f"SELECT {tallies} FROM t", {"t": rows})).to_pylist()
    if lost := [f"{c} in {n:,} rows ({changed[c][0]} to {changed[c][1]})" for c, n in found.items() if n]:
        raise InputError(
            f"{name}: values would change: {listed(lost)}.",
            hint="Give the column of the new type a new name: older rows then have no value in it.",
        )


def _sql(dtype: DType) -> str:
    return SQL_TYPES[dtype]
