"""The second use case is one new folder, and no edit anywhere else.

Not here: what the words of a declaration mean (tests/unit/catalog).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from serving_assets.catalog.discovery import load_catalog
from tests.catalogs import FIXTURE_CATALOG
from tests.pipeline.slice import DAY, NAME, Bench

SECOND = "big_spender"
FILES = {
    "use_case.py": '''
        """Will this household spend 100 dollars or more within two weeks?"""

        from serving_assets.catalog.columns import Between
        from serving_assets.catalog.spec import (
            Baseline, Current, Daily, Entity, Features, Labels, LastDays, Model, NextDays, Predictions, Promotion,
            UseCase, Weekly,
        )

        USE_CASE = UseCase(
            name="big_spender",
            description="Probability that a household spends 100 dollars or more within 14 days",
            owners=("team:finance", "ada@example.com"),
            entity=Entity(key="household_id", dtype="int64"),
            features=Features(
                sql="features.sql", inputs={"baskets": LastDays(days=28), "households": Current()}, population="baskets"
            ),
            labels=Labels(sql="labels.sql", inputs={"baskets": NextDays(days=14)}, column="is_big"),
            model=Model(
                train="train.py:fit",
                as_ofs=5,
                every_days=9,
                holdout=1,
                baselines=(Baseline(name="spend", expression="spend_28d"),),
                promote_if=Promotion(beats_baselines=False, max_calibration_error=0.5),
            ),
            predictions=Predictions(columns={"probability": Between(0, 1)}, precision=2, expire_after_days=100_000),
            schedule=Daily(at="07:15", timezone="America/New_York"),
            training_schedule=Weekly(day="sunday", at="12:00", timezone="America/New_York"),
        )
    ''',
    "features.sql": """
        SELECT
          baskets.household_id,
          round(sum(spend), 2) AS spend_28d,
          count(basket_id) AS baskets_28d,
          date_diff('day', max(day), CAST($as_of AS DATE)) AS days_since_last_basket,
          max(income_thousands) AS income_thousands
        FROM baskets
        LEFT JOIN households ON households.household_id = baskets.household_id
        GROUP BY baskets.household_id
    """,
    "labels.sql": """
        SELECT household_id, CAST(sum(spend) >= 100 AS DOUBLE) AS is_big FROM baskets GROUP BY household_id
    """,
    "train.py": '''
        """A linear model."""

        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler


        def fit(features, labels):
            return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(features, labels)
    ''',
}


@pytest.fixture
def second(bench: Bench) -> Bench:
    """The workspace whose catalog has one folder more."""
    root = bench.root / "catalog"
    shutil.copytree(FIXTURE_CATALOG, root)
    folder = root / "use_cases" / SECOND
    folder.mkdir()
    for name, text in FILES.items():
        lines = text.strip("\n").splitlines()
        (folder / name).write_text("\n".join(line[8:] for line in lines) + "\n")
    return bench.with_catalog(load_catalog(root), SECOND)


@pytest.mark.long
def test_a_folder_is_a_use_case(second: Bench, built: Bench) -> None:
    """A folder with a declaration, two queries and a train function is trained, scored, published and shown."""
    repository = second.defs.get_repository_def()
    assert {f"{SECOND}_daily", f"{SECOND}_training"} <= set(repository.job_names)
    assert repository.get_schedule_def(f"{SECOND}_daily_schedule").cron_schedule[0] == "15,25,35,45,55 7 * * *"
    trained = second.train()
    assert trained.success, trained.failures
    for day in (DAY - timedelta(days=1), DAY):
        outcome = second.score(day)
        assert outcome.success, outcome.failures
    assert second.publish().success
    (one, *_) = second.rows("latest", "household_id, probability, scored_for", "household_id % 10 = 0")
    shown = show(second, str(one["household_id"]))
    assert shown["probability"] == round(float(str(one["probability"])), 2)
    assert (shown["as_of"], shown["model_version"], shown["generation"]) == ("2017-06-01T04:00:00Z", "1", 1)
    assert second.platform.store.control(NAME) == built.platform.store.control(NAME)


def show(bench: Bench, entity: str) -> dict[str, object]:
    """What `serving-assets show` says."""
    environment = {
        **os.environ,
        "CATALOG_DIR": str(bench.catalog.root),
        "DATA_DIR": str(bench.settings.data_dir),
        "DAGSTER_HOME": str(bench.root / "home"),
    }
    Path(environment["DAGSTER_HOME"]).mkdir()
    program = "from serving_assets.cli import app; app()"
    command = [sys.executable, "-c", program, "show", SECOND, entity, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found
