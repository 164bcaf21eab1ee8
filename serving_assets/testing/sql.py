"""The SQL of a catalog over rows of a test, run by the queries and the engine of the pipeline.

Here: a lake in a temporary folder, and the three kinds of SQL over it. Not here: the typing of rows (rows.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving_assets.catalog.discovery import Catalog, Table, load_catalog
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Query
from serving_assets.errors import InputError
from serving_assets.pipeline.days import as_of as end_of_day
from serving_assets.pipeline.days import label_inputs
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.stages.features import features_query
from serving_assets.pipeline.stages.mapped import mapped_query
from serving_assets.settings import Settings, get_settings
from serving_assets.testing.rows import Row, typed

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Mapping[str, Sequence[Row]]


def features(use_case: str, rows: Rows, *, as_of: date | str, catalog: Catalog | None = None) -> list[dict[str, Any]]:
    """The rows of features.sql as known at the end of the day `as_of`, sorted, each as a dict.

    Args:
        use_case: its name.
        rows: by table, the rows of the features' inputs; a table that is left out is empty. `rows.typed` says how
            values may be written.
        as_of: a day, or its ISO 8601 text: rows after its end are not seen.
        catalog: default: the one of CATALOG_DIR.

    Raises:
        DeclarationError: there is no such use case, or the catalog is broken.
        InputError: a table, a column or a value does not fit.
    """
    catalog, day = catalog or load_catalog(get_settings().catalog_dir), _day(as_of)
    bound = catalog.use_case(use_case)
    with lake_of(catalog, rows, bound.spec.features.inputs) as platform:
        return _collected(platform, features_query(bound, platform, day), without=(DAY,))


def labels(use_case: str, rows: Rows, *, as_of: date | str, catalog: Catalog | None = None) -> list[dict[str, Any]]:
    """The rows of labels.sql about the days after `as_of`, sorted, each as a dict; all else as `features`."""
    catalog, day = catalog or load_catalog(get_settings().catalog_dir), _day(as_of)
    bound = catalog.use_case(use_case)
    instant = {"as_of": end_of_day(day, bound.domain.timezone)} if bound.labels.uses_as_of else {}
    with lake_of(catalog, rows, bound.spec.labels.inputs) as platform:
        inputs = label_inputs(bound, catalog, platform.lake, day)
        return _collected(platform, Query(bound.labels.text, inputs, instant, bound.domain.timezone))


def mapped(table: str, rows: Rows, *, catalog: Catalog | None = None) -> list[dict[str, Any]]:
    """The rows of a mapped table over `rows` of the tables it reads, sorted, each as a dict.

    Raises:
        InputError: there is no such mapped table, or a table, a column or a value does not fit.
    """
    catalog = catalog or load_catalog(get_settings().catalog_dir)
    found = catalog.tables.get(table)
    if found is None or found.statement is None:
        known = sorted(name for name, each in catalog.tables.items() if each.statement)
        raise InputError(f"There is no mapped table {table!r}.", hint=f"Mapped tables: {', '.join(known) or 'none'}.")
    with lake_of(catalog, rows, found.inputs) as platform:
        return _collected(platform, mapped_query(found, platform, None))


@contextmanager
def lake_of(catalog: Catalog, rows: Rows, names: Sequence[str] | Mapping[str, object]) -> Iterator[Platform]:
    """A platform whose lake holds `rows`, and each other table among `names` empty; it is gone afterwards."""
    if unknown := sorted(rows.keys() - set(names)):
        raise InputError(f"{', '.join(unknown)} is not read here.", hint=f"Read are {', '.join(sorted(names))}.")
    with tempfile.TemporaryDirectory(prefix="serving-assets-testing-") as folder:
        platform = Platform(Settings(data_dir=Path(folder), engine_threads=1), catalog)
        for name in names:
            store(platform, catalog.tables[name], typed(catalog.tables[name], rows.get(name, ())))
        yield platform


def store(platform: Platform, table: Table, rows: pa.Table) -> None:
    """Put `rows` in place of all rows of a table."""
    platform.lake.table(table.lake_name).replace(rows.to_reader(), partition_by=(DAY,) if table.daily else ())


def _collected(platform: Platform, query: Query, without: Sequence[str] = ()) -> list[dict[str, Any]]:
    found = platform.engine.collect(
        Query(f"FROM ({query.sql}) ORDER BY ALL", query.inputs, query.parameters, query.timezone)
    )
    return [{name: value for name, value in row.items() if name not in without} for row in found.to_pylist()]


def _day(as_of: date | str) -> date:
    try:
        return date.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    except ValueError as error:
        raise InputError(f"as_of is {as_of!r}, which is no day.", hint="Write it as 2017-05-31.") from error
