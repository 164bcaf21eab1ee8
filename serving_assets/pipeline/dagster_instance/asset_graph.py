"""The types of Dagster's asset graph, which have no public name.

Here: the graph and one asset of it. Not here: what is asked of them (pipeline/observing/finding_builder.py).
"""

from __future__ import annotations

from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetNode

__all__ = ["AssetGraph", "BaseAssetNode"]
