"""A stream of feature rows into a stream of scores: the step of `score` that every engine shares.

Here: batches in, batches out. Not here: where the rows come from and go (duckdb/engine.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from serving_assets.engines.protocol import Scorer

if TYPE_CHECKING:
    import pyarrow as pa


def scored_batches(
    batches: pa.RecordBatchReader, scorer: Scorer, key: str, constants: Mapping[str, object]
) -> pa.RecordBatchReader:
    """Predictions for a stream of feature rows: the key, the constants, and the scorer's columns as float64."""
    import pyarrow as pa

    scalars = {name: pa.scalar(value) for name, value in constants.items()}
    fields = [batches.schema.field(key)]
    fields += [pa.field(name, scalar.type) for name, scalar in scalars.items()]
    fields += [pa.field(name, pa.float64()) for name in scorer.columns]
    schema = pa.schema(fields)

    def scored() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            scores = scorer.score(batch)
            columns = [batch.column(key)]
            columns += [pa.repeat(scalar, batch.num_rows) for scalar in scalars.values()]
            columns += [pa.array(scores[name], pa.float64()) for name in scorer.columns]
            yield pa.record_batch(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, scored())
