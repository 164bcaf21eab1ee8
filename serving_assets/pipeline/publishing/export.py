"""Published predictions as one file: exactly the rows that readers get.

Here: the query, and a file that appears whole or not at all. Not here: the command (commands/export.py), or the
documents of the online store (published_documents.py).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import ActivationLog, refuse_lost
from serving_assets.pipeline.publishing.published_documents import documents_of, predictions_of

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
    try:
        rows = _write(platform.engine.stream(query), path, form)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}.", hint="Name another file with --out.") from error
    return Exported(use_case.name, str(path), rows, control.published.number, control.published.as_of)


def _write(batches: pa.RecordBatchReader, path: Path, form: FileFormat) -> int:
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    fresh, rows = path.with_name(f".{path.name}.{os.getpid()}"), 0
    try:
        with fresh.open("wb") as file:
            opened = csv.CSVWriter if form == "csv" else pq.ParquetWriter
            with opened(file, batches.schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    return rows
