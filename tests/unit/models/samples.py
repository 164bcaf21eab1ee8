"""Small training sets and the estimators that a team may hand over.

Not here: fixtures (conftest.py), or estimators that only one test needs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from serving_assets.catalog.columns import Between
from serving_assets.catalog.spec import (
    Daily,
    Entity,
    Features,
    Labels,
    LastDays,
    Model,
    NextDays,
    Predictions,
    UseCase,
    Weekly,
)

FEATURES = 6
DAYS = tuple(date(2017, 3, 4) + timedelta(days=7 * week) for week in range(8))


def numbers(rows: int, seed: int = 0) -> np.ndarray:
    """float64 (rows, FEATURES) that float32 cannot hold exactly, with a tenth missing."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.0, 30.0, size=(rows, FEATURES))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def table(rows: int, seed: int = 0) -> pa.Table:
    """The features of `rows` rows, and a label that depends on them."""
    values = numbers(rows, seed)
    chance = 1 / (1 + np.exp(-np.nan_to_num(values[:, 0]) / 20 + np.nan_to_num(values[:, 1]) / 20))
    label = (np.random.default_rng(seed + 1).random(rows) < chance).astype(float)
    columns = {f"f{i}": pa.array(values[:, i], from_pandas=True) for i in range(FEATURES)}
    return pa.table({**columns, "label": label})


def use_case() -> UseCase:
    """A use case of eight as-of days, three of them held out."""
    return UseCase(
        name="synthetic",
        description="A made-up label.",
        owners=("team:models",),
        entity=Entity(key="customer_id", dtype="int64"),
        features=Features(sql="features.sql", inputs={"t": LastDays(days=7)}, population="t"),
        labels=Labels(sql="labels.sql", inputs={"t": NextDays(days=7)}),
        model=Model(train="train.py:train", as_ofs=8, holdout=3),
        predictions=Predictions(columns={"score": Between(0, 1)}),
        schedule=Daily(at="05:00", timezone="UTC"),
        training_schedule=Weekly(day="monday", at="05:00", timezone="UTC"),
    )


def training_set() -> pa.Table:
    """200 customers on each of DAYS, with a baseline."""
    entities = 200
    rows = table(entities * len(DAYS), seed=3)
    baseline = np.nan_to_num(rows["f0"].to_numpy())
    return (
        rows.append_column("customer_id", pa.array(np.tile(np.arange(entities), len(DAYS))))
        .append_column("day", pa.array([day for day in DAYS for _ in range(entities)]))
        .append_column("baseline:first", pa.array(baseline))
    )


def boosting(features: Any, labels: Any) -> Any:
    """Histogram gradient boosting, small."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=0).fit(features, labels)


def linear(features: Any, labels: Any) -> Any:
    """Logistic regression on imputed and scaled features."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(features, labels)


def forest(features: Any, labels: Any) -> Any:
    """A random forest, whose trees route missing values themselves."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(20, max_depth=6, n_jobs=2, random_state=0).fit(features, labels)


def imputed_boosting(features: Any, labels: Any) -> Any:
    """Exact gradient boosting behind an imputer."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(), GradientBoostingClassifier(n_estimators=20, random_state=0)).fit(
        features, labels
    )


def network(features: Any, labels: Any) -> Any:
    """A small neural network."""
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = MLPClassifier((8,), early_stopping=True, random_state=0)
    return make_pipeline(SimpleImputer(), StandardScaler(), model).fit(features, labels)


TRAINERS: dict[str, Callable[[Any, Any], Any]] = {
    trainer.__name__: trainer for trainer in (boosting, linear, forest, imputed_boosting, network)
}
