"""One SELECT per file: read it, prove that every column it names exists, and tell where each of its columns comes from.

Here: parsing, binding against the schemas upstream, column lineage, and the Spark form. Not here: running it (engines/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from serving_assets.catalog.columns import DTYPES, SQL_TYPES, DType
from serving_assets.errors import DeclarationError

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

AS_OF = "as_of"

Schema = Mapping[str, DType]
Lineage = dict[str, tuple[tuple[str, str], ...]]
"""Output column -> the (table, column) pairs that it is made of."""


@dataclass(frozen=True)
class Statement:
    """One SELECT in DuckDB's dialect, and the file it stands in."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Statement:
        """The statement in `path`.

        Raises:
            DeclarationError: when the file is missing, does not parse, or is not exactly one SELECT.
        """
        if not path.is_file():
            raise DeclarationError(
                f"{path}: no such SQL file.", mend="Create it, or correct the `sql` field that names it."
            )
        statement = cls(path, path.read_text(encoding="utf-8"))
        statement._tree  # noqa: B018 - parsed once here, so that a bad file is found when it is loaded
        return statement

    @cached_property
    def _tree(self) -> exp.Query:
        import sqlglot
        from sqlglot import exp

        try:
            parsed = [tree for tree in sqlglot.parse(self.text, read="duckdb") if tree is not None]
        except sqlglot.ParseError as error:
            raise DeclarationError(
                f"{self.path}: does not parse: {error}", mend="Write it in DuckDB's dialect."
            ) from error
        if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
            raise DeclarationError(f"{self.path}: must hold exactly one SELECT, and holds {len(parsed)} statements.")
        return parsed[0]

    @cached_property
    def tables(self) -> frozenset[str]:
        """Names of the tables that it reads, without its own common table expressions."""
        from sqlglot import exp

        own = {cte.alias for cte in self._tree.find_all(exp.CTE)}
        return frozenset(table.name for table in self._tree.find_all(exp.Table)) - own

    @cached_property
    def uses_as_of(self) -> bool:
        """Whether the parameter `$as_of` stands in it."""
        from sqlglot import exp

        return any(parameter.name == AS_OF for parameter in self._tree.find_all(exp.Parameter, exp.Placeholder))

    def spark(self) -> str:
        """The same SELECT in Spark's dialect, its parameter written `:as_of`."""
        return self._tree.sql(dialect="spark", pretty=True)

    def bind(self, inputs: Mapping[str, Schema], timezone: str = "UTC") -> Schema:
        """Output columns and their types, found by DuckDB itself over empty tables of the given schemas.

        Raises:
            DeclarationError: when it names a table or column that does not exist, does not type-check, or yields a type
                outside the project's vocabulary.
        """
        if unknown := self.tables - set(inputs):
            raise DeclarationError(
                f"{self.path}: reads {', '.join(sorted(unknown))}, which is not among its inputs "
                f"({', '.join(sorted(inputs)) or 'none'}).",
                mend="Correct the name, or declare the input.",
            )
        described = self._describe(inputs, timezone)
        for name, sql_type in described:
            if sql_type not in DTYPES:
                raise DeclarationError(
                    f"{self.path}: column {name!r} has the type {sql_type}, which the lake does not keep.",
                    mend=f"Cast it to one of {', '.join(SQL_TYPES.values())}.",
                )
        return {name: DTYPES[sql_type] for name, sql_type in described}

    def _describe(self, inputs: Mapping[str, Schema], timezone: str) -> list[tuple[str, str]]:
        import duckdb

        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = '{timezone}'")
            for table in self.tables:
                columns = ", ".join(f'"{name}" {SQL_TYPES[dtype]}' for name, dtype in inputs[table].items())
                connection.execute(f'CREATE TABLE "{table}" ({columns})')
            parameters = {AS_OF: "2000-01-01 00:00:00+00"} if self.uses_as_of else {}
            text = self.text.replace(f"${AS_OF}", f"CAST(${AS_OF} AS TIMESTAMPTZ)")
            try:
                relation = connection.sql(text, params=parameters)
            except duckdb.Error as error:
                raise DeclarationError(
                    f"{self.path}: {error}", mend="Correct the SQL, or the declaration upstream."
                ) from error
            return [(name, str(sql_type)) for name, sql_type in zip(relation.columns, relation.types, strict=True)]

    def lineage(self, inputs: Mapping[str, Schema]) -> Lineage:
        """Where every output column comes from, for what the UI shows; the columns are known to exist after `bind`."""
        from sqlglot.optimizer.qualify import qualify
        from sqlglot.optimizer.scope import build_scope

        schema: dict[str, object] = {
            table: {name: SQL_TYPES[dtype] for name, dtype in inputs[table].items()} for table in self.tables
        }
        qualified = qualify(
            self._tree.copy(), dialect="duckdb", schema=schema, validate_qualify_columns=False, identify=False
        )
        scope = build_scope(qualified)
        return {} if scope is None else _scope_lineage(scope)


def _scope_lineage(scope: Scope) -> Lineage:
    """Lineage of each projection of one scope, resolving its sources once however many columns they have."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

    if scope.set_operation_scopes:
        branches = [_scope_lineage(branch) for branch in scope.set_operation_scopes]
        names = list(branches[0])
        by_position = [list(branch.values()) for branch in branches]
        return {name: tuple(sorted({p for b in by_position for p in b[i]})) for i, name in enumerate(names)}
    resolved = {name: _scope_lineage(source) for name, source in scope.sources.items() if isinstance(source, Scope)}

    def origins(column: exp.Column) -> set[tuple[str, str]]:
        source = scope.sources.get(column.table)
        if isinstance(source, exp.Table):
            return {(source.name, column.name)}
        return set(resolved.get(column.table, {}).get(column.name, ()))

    assert isinstance(scope.expression, exp.Select)
    return {
        projection.alias_or_name: tuple(sorted(set().union(*(origins(c) for c in projection.find_all(exp.Column)))))
        for projection in scope.expression.selects
    }
