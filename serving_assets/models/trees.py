"""Trees of an estimator and of its compiled form, brought to agree on every float32 value.

Here: thresholds and the side that a missing value takes. Not here: any other operator (compile.py leaves those to the
converter).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving_assets.models.estimator import Estimator


@dataclass(frozen=True)
class Forest:
    """Nodes of all trees of one estimator, in the order of its trees: each array is (nodes,).

    At leaves `feature` is 0, `threshold` 0 and `missing_left` False, as the converter writes them.
    """

    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    leaf: np.ndarray
    categorical: bool = False


def floor32(values: np.ndarray) -> np.ndarray:
    """Each float64 rounded down to float32, so that the same float32 numbers lie at or below it as before."""
    nearest = values.astype(np.float32)
    return np.where(nearest.astype(np.float64) > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def forests(estimator: Estimator) -> Iterator[Forest]:
    """Every group of trees within a fitted estimator, also inside pipelines and other wrappers."""
    if hasattr(estimator, "_predictors"):
        yield _histogram_forest([tree for stage in estimator._predictors for tree in stage])
        return
    if hasattr(estimator, "tree_"):
        yield _plain_forest([estimator.tree_])
        return
    members = _members(estimator)
    if members and all(hasattr(member, "tree_") for member in members):
        yield _plain_forest([member.tree_ for member in members])
        return
    for member in members:
        yield from forests(member)


def align(model: Any, estimator: Estimator) -> None:
    """Give the tree nodes of an ONNX `model` the estimator's exact routing, in place.

    The converter rounds the thresholds of histogram gradient boosting to the nearest float32, which may lie above, and
    sends missing values of plain trees to the right. A node is recognised by its features.
    """
    known = list(forests(estimator))
    for node in model.graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        features = np.asarray(attributes["nodes_featureids"].ints)
        for forest in known:
            if np.array_equal(features, forest.feature):
                attributes["nodes_values"].floats[:] = floor32(forest.threshold).tolist()
                attributes["nodes_missing_value_tracks_true"].ints[:] = forest.missing_left.astype(int).tolist()


def _members(estimator: Estimator) -> list[Estimator]:
    for name in ("estimators_", "steps", "transformers_", "calibrated_classifiers_"):
        found = getattr(estimator, name, None)
        if found is not None:
            items = found.ravel() if isinstance(found, np.ndarray) else found
            return [item[1] if isinstance(item, tuple) else item for item in items]
    return [estimator.estimator] if hasattr(estimator, "estimator") else []


def _histogram_forest(trees: list[Any]) -> Forest:
    nodes = np.concatenate([tree.nodes for tree in trees])
    leaf = nodes["is_leaf"].astype(bool)
    return Forest(
        feature=np.where(leaf, 0, nodes["feature_idx"]),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        missing_left=np.where(leaf, False, nodes["missing_go_to_left"].astype(bool)),
        leaf=leaf,
        categorical=bool(nodes["is_categorical"].any()),
    )


def _plain_forest(trees: list[Any]) -> Forest:
    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(tree, name) for tree in trees])

    leaf = joined("children_left") < 0
    return Forest(
        feature=np.where(leaf, 0, joined("feature")),
        threshold=np.where(leaf, 0.0, joined("threshold")),
        missing_left=np.where(leaf, False, joined("missing_go_to_left").astype(bool)),
        leaf=leaf,
    )
