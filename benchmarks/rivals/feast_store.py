"""A Feast repository whose online store, SQLite, holds the published predictions; run by Feast's own environment.

Here: `python feast_store.py FOLDER PREDICTIONS.parquet`. Not here: serving it (`feast serve`), or measuring (api.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

CONFIGURATION = """\
project: benchmark
provider: local
registry: registry.db
online_store:
  type: sqlite
  path: online.db
entity_key_serialization_version: 3
"""


def main(folder: Path, predictions: Path) -> None:
    """Declare one feature view over `predictions`, and write all of them to the online store."""
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    folder.mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(CONFIGURATION)
    household = Entity(name="household", join_keys=["household_id"], value_type=ValueType.INT64)
    source = FileSource(path=str(predictions), timestamp_field="as_of")
    view = FeatureView(
        name="predictions", entities=[household], schema=[Field(name="score", dtype=Float64)], source=source
    )
    store = FeatureStore(repo_path=str(folder))
    store.apply([household, view])
    store.write_to_online_store("predictions", pd.read_parquet(predictions))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
