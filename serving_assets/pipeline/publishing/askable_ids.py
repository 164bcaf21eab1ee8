"""Ids that can be published can be asked for.

Here: refusing a snapshot with other ids, before anything of it is published. Not here: the rule
(catalog/entity_ids.py), or NULL and duplicate keys, which the checks of each stage refuse.
"""

from __future__ import annotations

import pyarrow as pa

from serving_assets.catalog.columns import identifier
from serving_assets.catalog.entity_ids import faults_sql
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.errors import InputError
from serving_assets.pipeline.publishing.published_documents import PublishedDocuments


def refuse_unaskable(documents: PublishedDocuments, engine: Engine) -> None:
    """Refuse documents of which some could never be asked for; costs one scan of the key's column.

    Raises:
        InputError: it names the column, each fault and how many ids have it, and no id.
    """
    key = documents.collection.key
    if pa.types.is_integer(documents.scan.schema().field(key).type):
        return  # every integer of 64 bits is an id
    faults = faults_sql(identifier(key))
    counts = ", ".join(f"count(*) FILTER ({condition}) AS fault_{i}" for i, condition in enumerate(faults.values()))
    sql = f"SELECT count(*) AS ids, {counts} FROM snapshot"
    row = engine.collect(Query(sql, {"snapshot": Input(documents.scan)})).to_pylist()[0]
    found = [f"{row[f'fault_{i}']:,} {fault}" for i, fault in enumerate(faults) if row[f"fault_{i}"]]
    if found:
        raise InputError(
            f"{documents.collection.table}: {key} has ids that cannot be asked for: {', '.join(found)}; "
            f"{row['ids']:,} ids in all. Nothing was published.",
            hint=f"Correct {key} where it is mapped, or leave these entities out of features.sql.",
        )
