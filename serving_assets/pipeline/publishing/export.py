"""Published predictions as one file: exactly the rows that readers get.

Here: the query, and a file that appears whole or not at all. Not here: the command (commands/export.py), or the
documents of the online store (published_documents.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog, refuse_lost
from serving_assets.pipeline.publishing.published_documents import documents_of, predictions_of
from serving_assets.store import Generation

if TYPE_CHECKING:
    import pyarrow as pa

FileFormat = Literal["csv", "parquet"]


@dataclass(frozen=True)
class Exported:
    """The file that was written, and what it holds."""

    use_case: str
    file: str
    rows: int
    generation: int
    as_of: str


def export(platform: Platform, use_case: BoundUseCase, form: FileFormat, out: Path | None = None) -> Exported:
    """Write the published predictions of a use case to a file, in the order of the entity's key.

    The columns are the key, the predictions as rounded for readers, `scored_for` and `model_version`. A file at `out`
    (default: `<use_case>-<generation>.<form>` in the working directory) is replaced when the new one is complete.

    Raises:
        InputError: nothing is published, the lake no longer has the version, or the file cannot be written.
        StoreError: the store is out of reach, or has lost what was published.
    """
    collection = predictions_of(use_case)
    control = platform.store.control(collection.name)
    control = refuse_lost(collection, control, ActivationLog(platform, collection).entries(control))
    assert control.published is not None
    documents = documents_of(collection, control.published, platform.lake)
    key = identifier(collection.key)
    values = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in collection.values.items())
    query = Query(
        f"SELECT {key}, {values}, scored_for, model_version FROM t ORDER BY {key}", {"t": Input(documents.scan)}
    )
    path = (out or Path(f"{use_case.name}-{control.published.number}.{form}")).absolute()
    engine, published = platform.engine, control.published
    schema = engine.collect(replace(query, sql=f"SELECT * FROM ({query.sql}) LIMIT 0")).schema
    try:
        rows = _write(engine.stream(query), schema, path, form, published)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}.", hint="Name another file with --out.") from error
    return Exported(use_case.name, str(path), rows, control.published.number, control.published.as_of)


def _write(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, form: FileFormat, published: Generation
) -> int:
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    fresh, rows = path.with_name(f".{path.name}.{os.getpid()}"), 0
    try:
        with fresh.open("wb") as file:
            opened = csv.CSVWriter if form == "csv" else pq.ParquetWriter
            with opened(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
            if rows != published.rows:
                raise InputError(
                    f"Generation {published.number} has {published.rows:,} documents, its table has {rows:,} rows.",
                    hint="A use case that was retired has nothing to export; otherwise: serving-assets restore.",
                )
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    return rows
