"""Raw and mapped tables, their SQL read and proven against the tables it names.

Here: the order in which tables can be built, their schemas and lineage. Not here: the words of a declaration (spec.py),
the reading of SQL (sql.py), or anything about rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from serving_assets.catalog.columns import Column, DType
from serving_assets.catalog.lineage import Lineage
from serving_assets.catalog.names import Layer, layer_table, quarantine_table
from serving_assets.catalog.spec import DAY, Domain, MappedTable, Source
from serving_assets.catalog.sql import Schema, Statement
from serving_assets.errors import DeclarationError


@dataclass(frozen=True)
class Table:
    """A raw or mapped table, with the columns that it is known to have."""

    spec: Source | MappedTable
    layer: Layer
    domain: Domain
    path: Path
    columns: Mapping[str, Column]
    statement: Statement | None = None
    lineage: Lineage | None = None

    @property
    def name(self) -> str:
        """Its name, unique over sources and mapped tables of all domains."""
        return self.spec.name

    @property
    def lake_name(self) -> str:
        """Its name in the lake, `<layer>/<name>`."""
        return layer_table(self.layer, self.name)

    @property
    def quarantine(self) -> str:
        """Name in the lake of the table of its rows that broke the contract."""
        return quarantine_table(self.lake_name)

    @property
    def daily(self) -> bool:
        """Whether it is partitioned by day."""
        return "daily" in (getattr(self.spec, "delivery", None), getattr(self.spec, "partitioned", None))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tables that its SQL reads, sorted; none for a raw table."""
        return tuple(sorted(self.statement.tables)) if self.statement else ()

    @property
    def schema(self) -> Schema:
        """Column names and types as SQL sees them, the partition column of a daily table included."""
        columns: dict[str, DType] = {name: column.dtype for name, column in self.columns.items()}
        return {DAY: "date", **columns} if self.daily else columns


def with_tables_of(domain: Domain, path: Path, others: Mapping[str, Table]) -> dict[str, Table]:
    """The tables of `others` and those of `domain`: its sources first, then each mapped table after what it reads.

    Raises:
        DeclarationError: at the first table that does not fit.
    """
    declared = {name: table.path for name, table in others.items()}
    for name in (*(source.name for source in domain.sources), *(table.name for table in domain.tables)):
        if name in declared:
            raise DeclarationError(
                f"{path}: {name!r} is declared twice, also in {declared[name]}.",
                hint="Names are unique over the sources and mapped tables of all domains; rename one.",
            )
        declared[name] = path
    tables = {**others, **{each.name: Table(each, "raw", domain, path, each.columns) for each in domain.sources}}
    own = {table.name: (table, Statement.read(path.parent / table.sql)) for table in domain.tables}
    for name in _build_order({name: statement.tables for name, (_, statement) in own.items()}, path):
        if name in own:
            tables[name] = _bind(*own[name], domain, path, tables)
    return tables


def _build_order(reads: Mapping[str, Iterable[str]], path: Path) -> list[str]:
    try:
        return list(TopologicalSorter({name: sorted(of) for name, of in reads.items()}).static_order())
    except CycleError as error:
        raise DeclarationError(
            f"{path}: its tables read each other in a circle: {' -> '.join(error.args[1])}.",
            hint="Let one of them read what the others are made from.",
        ) from error


def _bind(spec: MappedTable, statement: Statement, domain: Domain, path: Path, tables: Mapping[str, Table]) -> Table:
    inputs = {name: table.schema for name, table in tables.items() if table.domain is domain}
    schema = dict(statement.bind(inputs, domain.timezone))
    _check_partitions(spec, statement, schema, {name for name in statement.tables if tables[name].daily})
    for field, names in (("key", spec.key), ("event_time", [spec.event_time] if spec.event_time else [])):
        for name in names:
            if name not in schema:
                raise not_returned(f"{path}: table {spec.name!r}: {field}", name, spec.sql, schema)
    if spec.event_time and schema[spec.event_time] not in ("timestamp", "date"):
        raise DeclarationError(
            f"{path}: table {spec.name!r}: event_time {spec.event_time!r} is {schema[spec.event_time]}.",
            hint="Name a column that is a timestamp or a date.",
        )
    if spec.partitioned == "daily":
        del schema[DAY]
    check_columns(spec.columns, schema, f"{path}: table {spec.name!r}", spec.sql)
    columns = {name: spec.columns.get(name, Column(dtype=dtype, description="")) for name, dtype in schema.items()}
    return Table(spec, "mapped", domain, path, columns, statement, statement.lineage(inputs))


def _check_partitions(spec: MappedTable, statement: Statement, schema: Schema, daily_inputs: set[str]) -> None:
    if spec.partitioned == "none":
        if daily_inputs:
            raise DeclarationError(
                f"{statement.path}: is not partitioned, but reads the daily {', '.join(sorted(daily_inputs))}.",
                hint="Declare it partitioned='daily', or read snapshots only.",
            )
        return
    if schema.get(DAY) != "date":
        raise DeclarationError(
            f"{statement.path}: a daily table must return {DAY!r} as a DATE.", hint="Carry it through from its inputs."
        )
    if not daily_inputs:
        raise DeclarationError(
            f"{statement.path}: is partitioned daily, but reads no daily table.", hint="Declare it partitioned='none'."
        )


def check_columns(declared: Mapping[str, Column], schema: Schema, where: str, sql: str) -> None:
    """Refuse a declared column that the SQL does not return, or returns in another type."""
    for name, column in declared.items():
        if name not in schema:
            raise not_returned(f"{where}: columns", name, sql, schema)
        if column.dtype != schema[name]:
            raise DeclarationError(
                f"{where}: columns declares {name!r} as {column.dtype}, and {sql} returns {schema[name]}.",
                hint="Cast it in the SQL, or correct the declaration.",
            )


def not_returned(where: str, name: str, sql: str, schema: Schema) -> DeclarationError:
    """The error for a declared name that the SQL does not return."""
    return DeclarationError(
        f"{where} names {name!r}, which {sql} does not return ({', '.join(schema)}).",
        hint="Correct the declaration or the SQL.",
    )
