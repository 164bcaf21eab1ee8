"""What the memory test runs in a process of its own: `python -m tests.unit.engines.memory_child <folder> <rows>`."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from serving_assets.engines import open_engine
from serving_assets.engines.protocol import Input, Limits, Query, Target
from serving_assets.lake import Lake


class Mean:
    """A scorer that costs nothing."""

    columns = ("score",)

    def score(self, batch: pa.RecordBatch) -> Mapping[str, np.ndarray]:
        """The first feature."""
        return {"score": batch.column("a").to_numpy()}


def run(folder: Path, rows: int) -> None:
    """Transform `rows` wide rows from one table to another, score them, and print the peak memory in MB."""
    lake, engine = (
        Lake(str(folder / "lake")),
        open_engine("duckdb", Limits(threads=2, memory="100MB", scratch=folder / "scratch", batch_rows=65_536)),
    )
    made = (
        f"SELECT range AS id, random() AS a, random() AS b, random() AS c, md5(range::VARCHAR) AS d FROM range({rows})"
    )
    source, features = lake.table("raw/source"), lake.table("raw/features")
    engine.transform([Query(made, {})], Target(source))
    engine.transform([Query("SELECT *, a + b AS e FROM s WHERE a >= 0", {"s": Input(source.scan())})], Target(features))
    scored = engine.score(Input(features.scan()), Mean(), "id", {"version": "1"}, Target(lake.table("raw/scored")))
    assert scored.rows == rows
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)  # noqa: T201 - read by the test


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
