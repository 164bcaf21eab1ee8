"""Will this household shop again within seven days?

Here: the declaration. Not here: what the features are (features.sql), what is predicted (labels.sql), how it is fitted
(train.py), or what to do at night (RUNBOOK.md).
"""

from __future__ import annotations

from serving_assets.catalog.columns import Between
from serving_assets.catalog.serve import Fallback, OnTheFly, Serve
from serving_assets.catalog.spec import (
    Baseline,
    Current,
    Daily,
    Entity,
    Features,
    Labels,
    LastDays,
    Model,
    NextDays,
    OnlineFeatures,
    Predictions,
    UseCase,
    Weekly,
)

USE_CASE = UseCase(
    name="purchase_propensity",
    description="Probability that a household shops again within 7 days",
    owners=("team:personalization",),
    entity=Entity(key="household_id", dtype="int64"),
    features=Features(
        sql="features.sql",
        inputs={"household_days": LastDays(days=91), "households": Current(), "household_campaigns": Current()},
        population="household_days",
    ),
    labels=Labels(sql="labels.sql", inputs={"household_days": NextDays(days=7)}),
    model=Model(
        train="train.py:train",
        baselines=(
            Baseline(name="recency", expression="-days_since_last_purchase"),
            Baseline(name="frequency", expression="shopping_days_91d"),
        ),
    ),
    predictions=Predictions(columns={"score": Between(0, 1)}, precision=4, expire_after_days=90),
    online_features=OnlineFeatures(
        columns={
            "days_since_last_purchase": None,
            "shopping_days_28d": None,
            "shopping_days_91d": None,
            "spend_28d": 2,
            "spend_91d": 2,
            "mean_gap_91d": 3,
        }
    ),
    schedule=Daily(at="05:00", timezone="America/New_York"),
    training_schedule=Weekly(day="monday", at="06:00", timezone="America/New_York"),
    # A week-old word about "within 7 days" says nothing any more: then, and for whoever was never scored, the basket
    # alone must do.
    serve=Serve(
        on_the_fly=OnTheFly(stored_features=True), fallback=Fallback(use_case="basket_propensity", max_age_days=7)
    ),
)
