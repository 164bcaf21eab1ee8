"""One SELECT per file: read it, prove that all it names exists, and trace each column to its origin.

Here: parsing, binding against the schemas upstream, the Spark form. Not here: running it (engines/), or lineage
(lineage.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from serving_assets.catalog.columns import DTYPES, SQL_TYPES, DType, identifier
from serving_assets.catalog.lineage import Lineage, lineage
from serving_assets.errors import DeclarationError

if TYPE_CHECKING:
    from sqlglot import exp

AS_OF = "as_of"
CLOCKS_AND_DICE = frozenset(
    {
        *("current_date", "current_localtime", "current_localtimestamp", "current_time", "current_timestamp"),
        *("get_current_time", "get_current_timestamp", "localtime", "localtimestamp", "now", "today"),
        *("gen_random_uuid", "nextval", "rand", "random", "transaction_timestamp", "uuid"),
    }
)
"""Functions that give another answer at every run, so that a re-run would not give the same rows."""

Schema = Mapping[str, DType]


@dataclass(frozen=True)
class Statement:
    """One SELECT in DuckDB's dialect, which may be put in parentheses, and the file it stands in."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Statement:
        """The statement in `path`.

        Raises:
            DeclarationError: when the file is missing, does not parse, is not exactly one SELECT, reads anything but
                tables by their plain names, or depends on when it runs.
        """
        if not path.is_file():
            raise DeclarationError(
                f"{path}: no such SQL file.", hint="Create it, or correct the `sql` field that names it."
            )
        statement = cls(path, _open_ended(path.read_text(encoding="utf-8")))
        statement._refuse_clocks_and_dice()
        statement.tables  # noqa: B018 - found once here, so that a bad file is reported when it is loaded
        return statement

    @cached_property
    def _tree(self) -> exp.Query:
        import sqlglot
        from sqlglot import exp
        from sqlglot.errors import ParseError, SqlglotError

        try:
            parsed = [tree for tree in sqlglot.parse(self.text, read="duckdb") if tree is not None]
        except ParseError as error:
            first = error.errors[0]
            raise DeclarationError(
                f"{self.path}: line {first['line']}, column {first['col']}: does not parse: "
                f"{first['description'].split(' but got ')[0]} "
                f"near {(first['start_context'] or '')[-30:]}{first['highlight']}.",
                hint="Write it in DuckDB's dialect.",
            ) from error
        except SqlglotError as error:
            raise DeclarationError(
                f"{self.path}: does not parse: {error}.", hint="Write it in DuckDB's dialect."
            ) from error
        if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
            found = ", ".join(tree.key.upper() for tree in parsed) or "nothing"
            raise DeclarationError(
                f"{self.path}: must hold exactly one SELECT, and holds {found}.",
                hint="Keep one SELECT; each table has a file of its own.",
            )
        return parsed[0]

    @cached_property
    def tables(self) -> frozenset[str]:
        """Names of the tables that it reads, without its own common table expressions.

        Raises:
            DeclarationError: when it reads files, functions, or tables of another schema.
        """
        from sqlglot import exp

        own = {cte.alias for cte in self._tree.find_all(exp.CTE)}
        found = list(self._tree.find_all(exp.Table))
        for table in found:
            plain = isinstance(table.this, exp.Identifier) and not table.db
            if not plain and not isinstance(table.this, exp.GenerateSeries):
                raise DeclarationError(
                    f"{self.path}: reads {table.sql(dialect='duckdb')}, which is not the plain name of a table.",
                    hint="Read only declared tables, each by its name alone.",
                )
        return frozenset(table.name for table in found if table.name) - own

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
            DeclarationError: when it names a table or column that does not exist, does not type-check, or yields a
                column without a proper name of its own, or of a type outside the project's vocabulary.
        """
        if unknown := self.tables - set(inputs):
            raise DeclarationError(
                f"{self.path}: reads {', '.join(sorted(unknown))}, which is not among its inputs "
                f"({', '.join(sorted(inputs)) or 'none'}).",
                hint="Correct the name, or declare the input.",
            )
        described = self._describe(inputs, timezone)
        self._refuse_names(name for name, _ in described)
        for name, sql_type in described:
            if sql_type not in DTYPES:
                raise DeclarationError(
                    f"{self.path}: column {name!r} has the type {sql_type}, which the lake does not keep.",
                    hint=f"Cast it to one of {', '.join(SQL_TYPES.values())}.",
                )
        return {name: DTYPES[sql_type] for name, sql_type in described}

    def lineage(self, inputs: Mapping[str, Schema]) -> Lineage:
        """Where every output column comes from, for what the UI shows; the columns are known to exist after `bind`.

        Raises:
            DeclarationError: when sqlglot, which also writes the Spark form, cannot follow the columns.
        """
        from sqlglot.errors import SqlglotError

        try:
            return lineage(self._tree, {table: inputs[table] for table in self.tables})
        except SqlglotError as error:
            raise DeclarationError(
                f"{self.path}: its columns cannot be followed: {error}.", hint="Write it in plainer SQL."
            ) from error

    def _describe(self, inputs: Mapping[str, Schema], timezone: str) -> list[tuple[str, str]]:
        import duckdb

        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = '{timezone}'")
            for table in self.tables:
                columns = ", ".join(f"{identifier(name)} {SQL_TYPES[dtype]}" for name, dtype in inputs[table].items())
                connection.execute(f"CREATE TABLE {identifier(table)} ({columns})")
            parameters = {AS_OF: datetime(2000, 1, 1, tzinfo=UTC)} if self.uses_as_of else {}
            try:
                relation = connection.sql(self.text, params=parameters)
            except duckdb.Error as error:
                raise DeclarationError(
                    f"{self.path}: {error}", hint="Correct the SQL, or the declaration upstream."
                ) from error
            return [(name, str(sql_type)) for name, sql_type in zip(relation.columns, relation.types, strict=True)]

    def _refuse_names(self, names: Iterable[str]) -> None:
        seen: set[str] = set()
        for name in names:
            if not name.isidentifier() or name.startswith("_"):
                raise DeclarationError(
                    f"{self.path}: column {name!r} has no proper name.",
                    hint="Give it one with AS: letters, digits and underscores, a letter first.",
                )
            if name.lower() in seen:
                raise DeclarationError(f"{self.path}: returns the column {name!r} twice.", hint="Rename or drop one.")
            seen.add(name.lower())

    def _refuse_clocks_and_dice(self) -> None:
        from sqlglot import exp

        for function in self._tree.find_all(exp.Func):
            name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
            if name in CLOCKS_AND_DICE:
                raise DeclarationError(
                    f"{self.path}: {name} gives another answer at every run.",
                    hint=f"Use ${AS_OF} for the time; a re-run must give the same rows.",
                )


def _open_ended(text: str) -> str:
    """Without a semicolon at the end, and with a line end after a last comment: so that text can follow it."""
    import sqlglot
    from sqlglot.errors import SqlglotError
    from sqlglot.tokenizer_core import TokenType

    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
    except SqlglotError:
        return text  # reported with its place when it is parsed
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        last = tokens.pop()
        text = text[: last.start] + text[last.end + 1 :]
    return text.rstrip() + "\n"
