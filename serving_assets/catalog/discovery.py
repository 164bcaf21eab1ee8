"""Read the folders of a catalog, and prove that its declarations and SQL fit each other.

Here: finding `domains/<name>/domain.py` and `use_cases/<name>/use_case.py`, the order of the tables, schemas and lineage.
Not here: the words of a declaration (spec.py), or anything about rows.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from serving_assets.catalog.columns import Column, DType, Spec
from serving_assets.catalog.spec import DAY, Domain, MappedTable, Source, UseCase
from serving_assets.catalog.sql import Lineage, Schema, Statement
from serving_assets.errors import DeclarationError

LAYERS = ("raw", "mapped")
S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Table:
    """A raw or mapped table, with the columns that it is known to have."""

    spec: Source | MappedTable
    layer: Literal["raw", "mapped"]
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
        return f"{self.layer}/{self.name}"

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


@dataclass(frozen=True)
class BoundUseCase:
    """A use case with its SQL read and proven against the tables it names."""

    spec: UseCase
    folder: Path
    domain: Domain
    features: Statement
    feature_schema: Schema
    feature_lineage: Lineage
    labels: Statement

    @property
    def name(self) -> str:
        """Its name: the folder, the lake's prefix, the registered model."""
        return self.spec.name

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the model sees, in order: every column of features.sql but the entity key."""
        return tuple(name for name in self.feature_schema if name != self.spec.entity.key)

    def lake_name(self, stage: str) -> str:
        """Name in the lake of one of its tables, such as `features` or `latest`."""
        return f"{self.name}/{stage}"

    @cached_property
    def train(self) -> Callable[..., Any]:
        """The function that `model.train` names, its module loaded at the first use because it imports heavy libraries."""
        file, _, function = self.spec.model.train.partition(":")
        path = self.folder / file
        if not path.is_file():
            raise DeclarationError(
                f"{path}: no such file.", mend=f"{self.name}: model.train must be '<file>:<function>'."
            )
        found = getattr(_load_module(path), function, None)
        if not callable(found):
            raise DeclarationError(
                f"{path}: has no function {function!r}.", mend="Correct model.train of the use case."
            )
        return found  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Catalog:
    """Everything declared under one folder. `tables` is in the order in which they can be built."""

    root: Path
    domains: Mapping[str, Domain]
    tables: Mapping[str, Table]
    use_cases: Mapping[str, BoundUseCase]

    def use_case(self, name: str) -> BoundUseCase:
        """The use case of that name.

        Raises:
            DeclarationError: when there is none, with those that there are.
        """
        if name not in self.use_cases:
            known = ", ".join(sorted(self.use_cases)) or "none"
            raise DeclarationError(f"No use case {name!r} in {self.root}.", mend=f"Known use cases: {known}.")
        return self.use_cases[name]


@lru_cache(maxsize=8)
def load_catalog(root: Path) -> Catalog:
    """Load and prove the catalog under `root`.

    Raises:
        DeclarationError: naming the file, the field and the mend, at the first thing that does not fit.
    """
    domains = {d.name: (d, path) for d, path in _declarations(root / "domains", "domain.py", "DOMAIN", Domain)}
    tables = _bind_tables(domains.values())
    use_cases = {}
    for spec, path in _declarations(root / "use_cases", "use_case.py", "USE_CASE", UseCase):
        if spec.name in LAYERS:
            raise DeclarationError(
                f"{path}: name {spec.name!r} is the name of a layer of the lake.", mend="Choose another."
            )
        use_cases[spec.name] = _bind_use_case(spec, path, tables)
    return Catalog(root, {name: domain for name, (domain, _) in domains.items()}, tables, use_cases)


def _declarations(folder: Path, file: str, variable: str, kind: type[S]) -> Iterable[tuple[S, Path]]:
    """Every declaration in the sub-folders of `folder`, sorted by name; the declared name must be the folder's."""
    for path in sorted(folder.glob(f"*/{file}")):
        try:
            found = getattr(_load_module(path), variable, None)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg']}" for e in error.errors())
            raise DeclarationError(f"{path}: {error.title}: {problems}.", mend="Correct the field named.") from error
        if not isinstance(found, kind):
            raise DeclarationError(f"{path}: must define {variable} = {kind.__name__}(...), and has {found!r}.")
        name = getattr(found, "name", "")
        if name != path.parent.name:
            raise DeclarationError(
                f"{path}: name is {name!r} in a folder called {path.parent.name!r}.", mend="Make the two equal."
            )
        yield found, path


def _load_module(path: Path) -> ModuleType:
    """The module in `path`, under a name of its own, so that two catalogs never meet in `sys.modules`."""
    name = f"_catalog_{abs(hash(path.resolve())):x}_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DeclarationError(f"{path}: cannot be loaded as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ValidationError, DeclarationError):
        raise
    except Exception as error:
        raise DeclarationError(f"{path}: fails when loaded: {type(error).__name__}: {error}.") from error
    return module


def _bind_tables(domains: Iterable[tuple[Domain, Path]]) -> dict[str, Table]:
    """Sources first, then the mapped tables of each domain, each after what it reads."""
    tables: dict[str, Table] = {}

    def add(table: Table) -> None:
        if table.name in tables:
            raise DeclarationError(
                f"{table.path}: {table.name!r} is declared in {tables[table.name].path} too.",
                mend="Names are unique over the sources and mapped tables of all domains; rename one.",
            )
        tables[table.name] = table

    for domain, path in domains:
        for source in domain.sources:
            add(Table(source, "raw", domain, path, source.columns))
        own = {table.name: (table, Statement.read(path.parent / table.sql)) for table in domain.tables}
        for name in _build_order({name: statement.tables for name, (_, statement) in own.items()}, path):
            if name in own:
                add(_bind_mapped(*own[name], domain, path, tables))
    return tables


def _build_order(reads: Mapping[str, Iterable[str]], path: Path) -> list[str]:
    try:
        return list(TopologicalSorter({name: sorted(of) for name, of in reads.items()}).static_order())
    except CycleError as error:
        raise DeclarationError(
            f"{path}: its tables read each other in a circle: {' -> '.join(error.args[1])}."
        ) from error


def _bind_mapped(
    spec: MappedTable, statement: Statement, domain: Domain, path: Path, tables: Mapping[str, Table]
) -> Table:
    inputs = {name: table.schema for name, table in tables.items() if table.domain is domain}
    schema = dict(statement.bind(inputs, domain.timezone))
    daily = spec.partitioned == "daily"
    if daily and schema.pop(DAY, None) != "date":
        raise DeclarationError(
            f"{statement.path}: a daily table must return {DAY!r} as a DATE.", mend="Carry it through."
        )
    if not daily and (wrong := sorted(name for name in statement.tables if tables[name].daily)):
        raise DeclarationError(
            f"{statement.path}: is not partitioned, but reads the daily {', '.join(wrong)}.",
            mend="Declare it partitioned='daily', or read snapshots only.",
        )
    for name in (*spec.key, *([spec.event_time] if spec.event_time else []), *spec.columns):
        if name not in schema and name != DAY:
            raise DeclarationError(
                f"{path}: table {spec.name!r} names column {name!r}, which {spec.sql} does not return "
                f"({', '.join(schema)}).",
                mend="Correct the declaration or the SQL.",
            )
    for name, column in spec.columns.items():
        if column.dtype != schema[name]:
            raise DeclarationError(
                f"{path}: table {spec.name!r} declares {name!r} as {column.dtype}, and {spec.sql} returns {schema[name]}.",
                mend="Cast it in the SQL, or correct the declaration.",
            )
    columns = {name: spec.columns.get(name, Column(dtype=dtype, description="")) for name, dtype in schema.items()}
    return Table(spec, "mapped", domain, path, columns, statement, statement.lineage(inputs))


def _bind_use_case(spec: UseCase, path: Path, tables: Mapping[str, Table]) -> BoundUseCase:
    folder = path.parent
    for field, names in (("features.inputs", spec.features.inputs), ("labels.inputs", spec.labels.inputs)):
        for name in names:
            if name not in tables:
                raise DeclarationError(
                    f"{path}: {field} names {name!r}, which no domain declares.",
                    mend=f"Known tables: {', '.join(sorted(tables))}.",
                )
            if getattr(names[name], "days", None) and not tables[name].daily:
                raise DeclarationError(f"{path}: {field}: {name!r} is not daily.", mend="Read it as Current().")
    used = [tables[name] for name in (*spec.features.inputs, *spec.labels.inputs)]
    if len(zones := {table.domain.timezone for table in used}) > 1:
        raise DeclarationError(
            f"{path}: its inputs follow different time zones ({', '.join(sorted(zones))}), so a day means two things.",
            mend="Map one of them into the other's calendar first.",
        )
    domain = tables[spec.features.population].domain
    feature_inputs = {name: tables[name].schema for name in spec.features.inputs}
    features = Statement.read(folder / spec.features.sql)
    schema = features.bind(feature_inputs, domain.timezone)
    _demand(features, schema, {spec.entity.key: spec.entity.dtype})
    if reserved := {DAY, spec.labels.column} & set(schema):
        raise DeclarationError(f"{features.path}: {sorted(reserved)} is written by the platform.", mend="Rename it.")
    labels = Statement.read(folder / spec.labels.sql)
    label_inputs = {name: tables[name].schema for name in spec.labels.inputs}
    _demand(
        labels,
        labels.bind(label_inputs, domain.timezone),
        {spec.entity.key: spec.entity.dtype, spec.labels.column: None},
    )
    return BoundUseCase(spec, folder, domain, features, schema, features.lineage(feature_inputs), labels)


def _demand(statement: Statement, schema: Schema, columns: Mapping[str, str | None]) -> None:
    for name, dtype in columns.items():
        if name not in schema or (dtype is not None and schema[name] != dtype):
            found = schema.get(name, "nothing of that name")
            raise DeclarationError(
                f"{statement.path}: must return {name!r}{f' as {dtype}' if dtype else ''}, and returns {found}.",
                mend="Add or cast the column.",
            )
