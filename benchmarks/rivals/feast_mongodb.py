"""Feast's `materialize` of the rows of one Parquet file into its MongoDB online store, measured.

Here: what runs in the virtual environment of feast_mongodb.txt, which has nothing of this project. Not here: making
that environment, the rows, or the server (publish.py). Prints one line of JSON: rows, seconds, CPU-seconds, peak MiB.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64


def main(parquet: str, uri: str, rows: str) -> None:
    """Apply one feature view over `parquet`, with the key `household_id` and the feature `score`; materialize it."""
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(
            config=RepoConfig(
                project="bench",
                provider="local",
                registry=str(Path(folder, "registry.db")),
                online_store={"type": "mongodb", "connection_string": uri, "database_name": "feast"},
                offline_store={"type": "file"},
                entity_key_serialization_version=3,
            )
        )
        household = Entity(name="household", join_keys=["household_id"], value_type=ValueType.INT64)
        view = FeatureView(
            name="propensity",
            entities=[household],
            ttl=timedelta(days=0),
            schema=[Field(name="score", dtype=Float64)],
            source=FileSource(path=parquet, timestamp_field="scored_at"),
        )
        store.apply([household, view])
        began, cpu = time.perf_counter(), time.process_time()
        store.materialize(datetime(2017, 1, 1, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC))
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"rows": int(rows), "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_memory_mib": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
