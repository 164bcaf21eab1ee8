"""The default engine: DuckDB in this process.

Here: the five verbs over bounded connections. Not here: how a query's inputs are read (views.py).
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, takewhile
from typing import TYPE_CHECKING

from serving_assets.engines.duckdb.views import create_views
from serving_assets.engines.protocol import Input, Limits, Part, Query, Scorer, Target
from serving_assets.engines.scored import scored_batches
from serving_assets.errors import QueryError, ServingAssetsError
from serving_assets.failpoints import failpoint
from serving_assets.lake import Written

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


_engines: weakref.WeakSet[DuckDBEngine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """DuckDB reports, in many lines on the screen, what is still open when the interpreter goes."""
    for engine in _engines:
        engine.close()


class DuckDBEngine:
    """Runs each query on a connection of its own to one database in memory, which holds nothing but views.

    Opening a database starts threads and costs ten times as much as a connection to one, and a daily run asks a dozen
    queries. A database in which a query has failed is not asked again: an error may have made it unusable. Whether rows
    keep their order is a setting of a whole database, so there are two.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._shared: dict[bool, duckdb.DuckDBPyConnection] = {}
        _engines.add(self)

    def close(self) -> None:
        """Close the databases; the next query opens another."""
        self._shared = {}

    def _opened(self, *, in_order: bool) -> duckdb.DuckDBPyConnection:
        import duckdb

        if in_order not in self._shared:
            self.limits.scratch.mkdir(parents=True, exist_ok=True)
            bounds: dict[str, str | bool | int | float | list[str]] = {
                "threads": self.limits.threads,
                "memory_limit": self.limits.memory,
                "temp_directory": str(self.limits.scratch),
                "preserve_insertion_order": in_order,
            }
            self._shared[in_order] = duckdb.connect(config=bounds)
        return self._shared[in_order]

    @contextmanager
    def _relation(self, query: Query) -> Iterator[duckdb.DuckDBPyRelation]:
        import duckdb

        shared = self._opened(in_order=query.in_order)
        with shared.cursor() as connection:
            connection.execute(f"SET TimeZone = '{query.timezone}'")
            # A progress bar draws over a command's own, and into logs.
            connection.execute("SET enable_progress_bar = false")
            try:
                create_views(connection, query)
                yield connection.sql(query.sql, params=dict(query.parameters))
            except duckdb.Error as error:
                raise self._failed(query, error) from error

    def _failed(self, query: Query, error: Exception) -> QueryError:
        self.close()
        reason = _reason(error)
        return QueryError(
            f"The query over {', '.join(query.inputs)} failed: {reason}",
            hint=f"With an out-of-memory error, raise ENGINE_MEMORY (now {self.limits.memory}); otherwise correct the "
            "SQL.",
            reason=reason,
            out_of_memory="Out of Memory" in str(error),
        )

    @contextmanager
    def _reader(self, query: Query) -> Iterator[pa.RecordBatchReader]:
        with self._relation(query) as relation:
            yield _streamed(relation, self.limits.batch_rows, partial(self._failed, query), query.check_unchanged)

    def land(self, rows: Query, rejected: Part, accepted: Part) -> tuple[Written, Written]:
        """See `Engine.land`."""
        kept_apart = self.transform([rows.then(rejected.sql)], rejected.into)
        failpoint("raw.between_rejected_and_accepted")
        return kept_apart, self.transform([rows.then(accepted.sql)], accepted.into)

    def transform(self, queries: Sequence[Query], into: Target) -> Written:
        """See `Engine.transform`."""
        import pyarrow as pa

        with self._reader(queries[0]) as first:
            others = (batch for query in queries[1:] for batch in self.stream(query))
            return into.write(pa.RecordBatchReader.from_batches(first.schema, chain(first, others)))

    def stream(self, query: Query) -> Iterator[pa.RecordBatch]:
        """See `Engine.stream`."""
        with self._reader(query) as batches:
            yield from batches

    def collect(self, query: Query) -> pa.Table:
        """See `Engine.collect`."""
        import pyarrow as pa

        with self._relation(query) as relation:
            try:
                rows = relation.to_arrow_table()
            except (pa.ArrowException, OSError) as error:  # of rows that Arrow reads
                raise self._failed(query, error) from error
            query.check_unchanged()
            return rows

    def score(
        self, features: Input, scorer: Scorer, key: str, constants: Mapping[str, object], into: Target
    ) -> Written:
        """See `Engine.score`."""
        with self._reader(Query("SELECT * FROM features", {"features": features})) as batches:
            return into.write(scored_batches(batches, scorer, key, constants))


def open_engine(limits: Limits) -> DuckDBEngine:
    """See `serving_assets.engines.open_engine`."""
    return DuckDBEngine(limits)


def _streamed(
    relation: duckdb.DuckDBPyRelation,
    batch_rows: int,
    failed: Callable[[Exception], ServingAssetsError],
    finished: Callable[[], None],
) -> pa.RecordBatchReader:
    """The rows of a relation, batch by batch; `finished` is called after the last one.

    What goes wrong while they are made is raised as `failed` words it.

    An error of DuckDB in the middle of a stream arrives as an OSError, like one of the disk that the rows are written
    to: only here can the two be distinguished.
    """
    import duckdb
    import pyarrow as pa

    @contextmanager
    def worded() -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise failed(error) from error

    with worded():
        reader = relation.to_arrow_reader(batch_rows)

    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            with worded():
                batch = next(reader, None)
            if batch is None:
                return finished()
            yield batch

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _reason(error: Exception) -> str:
    """An error of DuckDB without its advice, which is about options of a call that the user does not make."""
    lines = str(error).splitlines()
    kept = list(takewhile(lambda line: not line.startswith(("Possible ", "Try ", "* ")), lines))
    kept += [line for line in lines[len(kept) :] if line.strip().startswith("file = ")]
    return " ".join(part[:300] for part in (line.strip() for line in kept) if part)
