"""The smallest workspaces in which a model is really trained: one source, one use case, some dozen rows a day.

Here: a catalog written from a few choices, its landing files, and the whole way of a score. Not here: what must hold
(test_declarations.py, test_changed_declarations.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa

from serving_assets.catalog.columns import SQL_TYPES, DType
from serving_assets.catalog.discovery import load_catalog
from serving_assets.lake import DayRange
from serving_assets.models.lifecycle.champion import champion_version
from serving_assets.serving.reading.features import gather, given_features
from tests.pipeline.slice import Bench

NAME = "visits_again"
FIRST = date(2024, 3, 1)
DAYS = DayRange(FIRST, FIRST + timedelta(days=5))
DAY = DAYS.last
PERSONS = 40
COLUMNS: dict[str, DType] = {
    "flag": "bool",
    "small": "int32",
    "big": "int64",
    "short": "float32",
    "long": "float64",
    "word": "string",
}
"""A column of the source for each type that a feature may have."""

TRAIN = """
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def train(features, labels):
    numbers = [name for name in features if features[name].dtype.kind == "f"]
    texts = [name for name in features if name not in numbers]
    filled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    columns = make_column_transformer(
        *([(filled, numbers)] if numbers else []),
        *([(OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts)] if texts else []),
    )
    return make_pipeline(columns, LogisticRegression()).fit(features, labels)
"""
BOOSTING = """
from sklearn.ensemble import HistGradientBoostingClassifier


def train(features, labels):
    return HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5, random_state=0).fit(features, labels)
"""


@dataclass(frozen=True)
class Tiny:
    """The choices of one catalog; `features` are SQL expressions over one person's rows of a day, by name.

    `model`, `labels`, `predictions`, `use_case` are further arguments of the declarations, as text.
    """

    features: Mapping[str, str] = field(default_factory=lambda: {name: f"max({name})" for name in COLUMNS})
    key: DType = "int64"
    key_name: str = "person"
    columns: Mapping[str, DType] = field(default_factory=lambda: COLUMNS)
    label: str = "CAST(bool_or(bought) AS DOUBLE)"
    labels_rest: str = "GROUP BY person"
    features_rest: str = "GROUP BY person"
    model: str = ""
    labels: str = ""
    predictions: str = 'columns={"score": Between(0, 1)}'
    use_case: str = "online_features=OnlineFeatures(), serve=Serve(on_the_fly=OnTheFly(stored_features=True)),"
    train: str = TRAIN
    beside: Mapping[str, str] = field(default_factory=dict)
    first_day: date = FIRST

    def write(self, root: Path) -> Path:
        """The catalog, written below `root`."""
        columns = "".join(f'"{name}": optional("{dtype}", "A column"), ' for name, dtype in self.columns.items())
        folders = {"domains/shop": {"domain.py": self._domain(columns)}, f"use_cases/{NAME}": self._use_case()}
        for folder, files in folders.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (root / folder / name).write_text(text, encoding="utf-8")
        return root

    def _domain(self, columns: str) -> str:
        return f"""
from datetime import date

from serving_assets.catalog.checks import TableChecks
from serving_assets.catalog.columns import optional, required
from serving_assets.catalog.spec import Domain, Source

VISITS = Source(
    name="visits",
    description="Visits",
    owners=("team:shop",),
    delivery="daily",
    columns={{"id": required("int64", "Visit"), "{self.key_name}": required("{self.key}", "Who"),
             "at": required("timestamp", "When"), "bought": optional("bool", "Whether"), {columns}}},
    key=("id",),
    event_time="at",
    checks=TableChecks(lag_warn=1e6, lag_error=1e6, level_warn=1e6, level_error=1e6),
)
DOMAIN = Domain(name="shop", description="A shop", timezone="UTC", first_day=date({self.first_day:%Y, %-m, %-d}),
                sources=(VISITS,), tables=())
"""

    def _use_case(self) -> dict[str, str]:
        features, key = "".join(f', {sql} AS "{name}"' for name, sql in self.features.items()), f'"{self.key_name}"'
        declaration = f"""
from serving_assets.catalog.checks import Checks
from serving_assets.catalog.columns import Between, optional, required
from serving_assets.catalog.serve import OnTheFly, Serve
from serving_assets.catalog.spec import (
    Baseline, Daily, Entity, Features, Labels, LastDays, Model, NextDays, OnlineFeatures, Predictions, Promotion,
    UseCase, Weekly,
)

USE_CASE = UseCase(
    name="{NAME}",
    description="Whether a person buys on the next day",
    owners=("team:shop",),
    entity=Entity(key="{self.key_name}", dtype="{self.key}"),
    features=Features(sql="features.sql", inputs={{"visits": LastDays(days=1)}}, population="visits"),
    labels=Labels(sql="labels.sql", inputs={{"visits": NextDays(days=1)}}, {self.labels}),
    model=Model(
        train="train.py:train", as_ofs=4, every_days=1, holdout=1,
        promote_if=Promotion(beats_baselines=False, max_loss_vs_champion=1, max_calibration_error=1), {self.model}
    ),
    predictions=Predictions({self.predictions}),
    schedule=Daily(at="05:00", timezone="UTC"),
    training_schedule=Weekly(day="monday", at="06:00", timezone="UTC"),
    checks=Checks(lag_warn=1e6, lag_error=1e6, psi_error=1e6, null_error=1.0),
    {self.use_case}
)
"""
        return {
            "use_case.py": declaration,
            "features.sql": f"SELECT {key}{features} FROM visits {self.features_rest.replace('person', key)}\n",
            "labels.sql": f"SELECT {key}, {self.label} AS label FROM visits "
            f"{self.labels_rest.replace('person', key)}\n",
            "train.py": self.train,
            **self.beside,
        }

    def bench(self, root: Path) -> Bench:
        """A workspace over the catalog; called again, the same one under what is declared now."""
        return Bench(root, load_catalog(self.write(root / f"catalog-{len(list(root.glob('catalog-*')))}")), NAME)


def rows(seed: int = 0, key: DType = "int64", columns: Mapping[str, DType] = COLUMNS) -> pa.Table:
    """A visit of each person on each day; a tenth of the values is missing, and who has a flag mostly buys."""
    rng, count = np.random.default_rng(seed), PERSONS * len(DAYS)
    flag = rng.random(count) < 0.4
    values: dict[DType, Any] = {
        "bool": flag,
        "int32": rng.integers(-(2**31), 2**31, count).astype(np.int32),
        "int64": rng.integers(-(2**63), 2**63 - 1, count),
        "float32": rng.normal(size=count).astype(np.float32),
        "float64": rng.lognormal(3, 2, count),
        "string": rng.choice(["a", "b", "ü ☃", ""], count),
    }
    table = {
        "id": pa.array(np.arange(count)),
        "person": pa.array([f"p-{i % PERSONS}" if key == "string" else i % PERSONS + 1 for i in range(count)]),
        "day": pa.array([FIRST + timedelta(days=i // PERSONS) for i in range(count)]),
        "bought": pa.array(rng.random(count) < np.where(flag, 0.8, 0.3)),
    }
    for name, dtype in columns.items():
        table[name] = pa.array(values[dtype], mask=rng.random(count) < 0.1)
    return pa.table(table)


def land(bench: Bench, table: pa.Table, days: DayRange = DAYS) -> None:
    """The rows as files of their days, as the upstream system would leave them."""
    spec = bench.catalog.tables["visits"].columns
    found = {name: name if name in table.column_names else "person" for name in spec if name != "at"}
    casts = ", ".join(f'CAST("{one}" AS {SQL_TYPES[spec[name].dtype]}) AS "{name}"' for name, one in found.items())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("t", table)
        for day in days.days():
            folder = bench.settings.landing / "visits" / f"dt={day}"
            folder.mkdir(parents=True, exist_ok=True)
            at = f"TIMESTAMPTZ '{day} 12:00+00' AS at"
            connection.execute(
                f"COPY (SELECT {casts}, {at} FROM t WHERE day = '{day}') TO '{folder}/visits.parquet' (FORMAT parquet)"
            )


def trained(bench: Bench, table: pa.Table) -> Bench:
    """The workspace with all tables and a champion."""
    land(bench, table)
    for outcome in (*bench.tables(DAYS), bench.train()):
        assert outcome.success, outcome.failures
    assert champion_version(bench.platform.registry.bundles_dir, NAME) is not None
    return bench


def score_and_read_back(bench: Bench) -> dict[Any, float]:
    """Score DAY, publish it, and return the published score of each entity: the batch's, the store's and the API's."""
    for outcome in (bench.score(DAY), bench.publish(), bench.run("online_features", day=None)):
        assert outcome.success, outcome.failures
    (column,) = bench.use_case.spec.predictions.columns
    key = bench.use_case.spec.entity.key
    scores = {row[key]: float(str(row[column])) for row in bench.rows("predictions", where=f"day = '{DAY}'")}
    assert scores, "nobody was scored"
    precision = bench.use_case.spec.predictions.precision
    store = bench.platform.store
    read = store_values(bench, NAME, list(scores))
    assert {entity: value[column] for entity, value in read.items()} == {
        entity: round_half(score, precision) for entity, score in scores.items()
    }
    assert store.control(NAME) is not None
    features = store_values(bench, bench.use_case.features_collection, list(scores))
    assert api_scores(bench, features) == scores
    return scores


def round_half(score: float, precision: int) -> float:
    """As the database rounds what is published."""
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT round(CAST(? AS DOUBLE), {precision})", [score]).fetchone()
    assert found is not None
    return float(found[0])


def store_values(bench: Bench, collection: str, entities: list[Any]) -> dict[Any, dict[str, Any]]:
    """What readers of a collection get."""
    from serving_assets.store import read

    found = read(bench.platform.store, collection, entities).values
    return {one.entity: one.value for one in found if one is not None}


def api_scores(bench: Bench, features: Mapping[Any, Mapping[str, Any]]) -> dict[Any, float]:
    """Scores as the API computes them: half of the entities from stored features, half from those of a request."""
    version = champion_version(bench.platform.registry.bundles_dir, NAME)
    scorer = bench.platform.registry.bundle(NAME, str(version)).scorer()
    found = {}
    for place, (entity, values) in enumerate(features.items()):
        known = {name: values[name] for name in scorer.signature.names}
        sent = given_features(orjson.loads(orjson.dumps(known)), scorer.signature) if place % 2 else {}
        row = gather(scorer.signature, sent, None if place % 2 else values, {}).row
        found[entity] = float(scorer.score_rows([row])[0, 0])
    return found
