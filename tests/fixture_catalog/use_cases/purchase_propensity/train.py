"""The estimator of purchase_propensity.

Here: its kind and its regularisation. Not here: splits, metrics, registration, compilation; the platform does them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.ensemble import HistGradientBoostingClassifier

if TYPE_CHECKING:
    import pandas as pd


def train(features: pd.DataFrame, labels: pd.Series) -> HistGradientBoostingClassifier:
    """Fit on one row per household and as-of day; a missing feature is NaN, and the trees take it as it is.

    The same household stands in every week, so its stable traits would be learned by heart: small trees, large leaves
    and a random part of the features at each split keep to what households share.
    """
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=8,
        min_samples_leaf=500,
        l2_regularization=10.0,
        max_features=0.4,
        early_stopping=False,
        random_state=20170101,
    )
    return model.fit(features, labels)
