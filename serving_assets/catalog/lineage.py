"""Column lineage: from which columns of which tables each column of a query is computed.

Here: reading a parsed query. Not here: whether the query is right (sql.py). What only decides which rows there are, in
WHERE and JOIN, is no part of a column's lineage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from serving_assets.catalog.columns import SQL_TYPES, DType

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

Lineage = dict[str, tuple[tuple[str, str], ...]]
"""Output column -> the (table, column) pairs that it is made of, sorted."""


def lineage(query: exp.Query, schemas: Mapping[str, Mapping[str, DType]]) -> Lineage:
    """Lineage of every output column of `query`, over tables of the given schemas."""
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema: dict[str, object] = {
        table: {name: SQL_TYPES[dtype] for name, dtype in columns.items()} for table, columns in schemas.items()
    }
    qualified = qualify(query.copy(), dialect="duckdb", schema=schema, validate_qualify_columns=False, identify=False)
    root = build_scope(qualified)
    found = {} if root is None else _Reader(root).of(root)
    return {name: pairs for name, pairs in found.items() if not name.startswith("_")}  # `_col_0` is sqlglot's own name


class _Reader:
    """Lineage of every scope of a query, each found once however often it is named."""

    def __init__(self, root: Scope) -> None:
        self._scopes = {id(scope.expression): scope for scope in root.traverse()}
        self._known: dict[int, Lineage] = {}

    def of(self, scope: Scope) -> Lineage:
        """Lineage of the columns that `scope` returns."""
        if id(scope) not in self._known:
            self._known[id(scope)] = {}  # what a recursive query finds where it names itself
            self._known[id(scope)] = self._union(scope) if scope.set_operation_scopes else self._select(scope)
        return self._known[id(scope)]

    def _union(self, scope: Scope) -> Lineage:
        first, *others = (self.of(branch) for branch in scope.set_operation_scopes)
        if not scope.expression.args.get("by_name"):
            others = [dict(zip(first, other.values(), strict=True)) for other in others]
        names = dict.fromkeys(name for branch in (first, *others) for name in branch)
        return {
            name: tuple(sorted({pair for branch in (first, *others) for pair in branch.get(name, ())}))
            for name in names
        }

    def _select(self, scope: Scope) -> Lineage:
        from sqlglot import exp

        assert isinstance(scope.expression, exp.Query)
        return {
            projection.alias_or_name: tuple(
                sorted({pair for column in projection.find_all(exp.Column) for pair in self._origins(column)})
            )
            for projection in scope.expression.selects
        }

    def _origins(self, column: exp.Column) -> set[tuple[str, str]]:
        """Of one column, in the innermost query around it that knows its table: a subquery may name those outside."""
        from sqlglot import exp
        from sqlglot.optimizer.scope import Scope

        around = column.find_ancestor(exp.Query)
        while around is not None:
            scope = self._scopes.get(id(around))
            if scope is not None and column.table in scope.sources:
                source = scope.sources[column.table]
                if isinstance(source, Scope):
                    return set(self.of(source).get(column.name, ()))
                return {(source.name, column.name)} if source.name else set()  # range() has no name
            around = around.find_ancestor(exp.Query)
        return set()
