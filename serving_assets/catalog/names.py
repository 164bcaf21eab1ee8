"""Names derived from declared ones: tables of the lake, collections of the online store.

Here: each of these names, made in one place. Not here: names of jobs and assets (pipeline/asset_keys.py), columns that
the platform writes (binding.py).
"""

from __future__ import annotations

from typing import Literal

Layer = Literal["raw", "mapped"]


def layer_table(layer: Layer, table: str) -> str:
    """The lake's table of a source or of a mapped table."""
    return f"{layer}/{table}"


def quarantine_table(raw_table: str) -> str:
    """The lake's table of the rows that broke the contract of `raw_table`."""
    return f"{raw_table}__rejected"


def quarantined_table(table: str) -> str | None:
    """The raw table whose quarantine `table` is; None when it is no quarantine."""
    raw_table = table.removesuffix(quarantine_table(""))
    return raw_table if raw_table != table else None


def stage_table(use_case: str, stage: str) -> str:
    """The lake's table of a stage of a use case, such as `features` or `latest`."""
    return f"{use_case}/{stage}"


def predictions_collection(use_case: str) -> str:
    """The online store's collection of the published predictions of a use case."""
    return use_case


def features_collection(use_case: str) -> str:
    """The online store's collection of the stored features of a use case."""
    return f"{use_case}.features"


def activations_table(use_case: str) -> str:
    """The lake's table that remembers which generation of the predictions was active from when on."""
    return stage_table(use_case, "publications")


def feature_activations_table(use_case: str) -> str:
    """The lake's table that remembers which generation of the stored features was active from when on."""
    return stage_table(use_case, "feature_publications")


def use_case_of_features(collection: str) -> str | None:
    """The use case whose stored features are in `collection`; None when it holds predictions."""
    use_case = collection.removesuffix(features_collection(""))
    return use_case if use_case != collection else None


def collection_of_activations(table: str) -> str | None:
    """The collection whose activations the lake's table remembers; None when it is another table."""
    use_case, _, _ = table.rpartition("/")
    logs = {
        activations_table(use_case): predictions_collection(use_case),
        feature_activations_table(use_case): features_collection(use_case),
    }
    return logs.get(table)
