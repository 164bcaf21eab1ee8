"""Will the household behind this basket shop again within seven days?

Here: the declaration. Not here: what the features are (features.sql), what is predicted (labels.sql), how it is fitted
(train.py), or what to do at night (RUNBOOK.md).
"""

from __future__ import annotations

from serving_assets.catalog.columns import AtLeast, Between, required
from serving_assets.catalog.serve import OnTheFly, Serve
from serving_assets.catalog.spec import (
    Baseline,
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

USE_CASE = UseCase(
    name="basket_propensity",
    description="Probability that the household behind a basket shops again within 7 days, from the basket alone",
    owners=("team:personalization",),
    entity=Entity(key="household_id", dtype="int64"),
    features=Features(
        sql="features.sql",
        inputs={"baskets": LastDays(days=1)},
        population="baskets",
        columns={
            "household_id": required("int64", "Household that shopped on the day", AtLeast(1)),
            "basket_value": required("float64", "What the basket costs, in US dollars", AtLeast(0)),
            "basket_items": required("int64", "Pieces in the basket; fuel counts as none", AtLeast(0)),
            "basket_departments": required("int32", "Different departments in the basket", AtLeast(0)),
            "hour": required("int32", "Local hour in which the basket is paid", Between(0, 23)),
            "weekday": required("int32", "Local weekday, 1 for Monday to 7 for Sunday", Between(1, 7)),
            "store": required("string", "Number of the store"),
        },
    ),
    labels=Labels(sql="labels.sql", inputs={"baskets": NextDays(days=7)}),
    # A day has a seventh of the rows of purchase_propensity, so training looks at twice as many days; eight of the
    # held-out ones are held out there too, and on these the two are compared.
    model=Model(
        train="train.py:train",
        as_ofs=78,
        every_days=4,
        holdout=16,
        baselines=(
            Baseline(name="low_value", expression="-basket_value"),
            Baseline(name="few_items", expression="-basket_items"),
        ),
    ),
    predictions=Predictions(columns={"score": Between(0, 1)}, precision=4, expire_after_days=7),
    schedule=Daily(at="05:30", timezone="America/New_York"),
    training_schedule=Weekly(day="monday", at="06:30", timezone="America/New_York"),
    # Yesterday's basket is looked up by no reader: the daily scores stay in the lake, where checks watch them.
    serve=Serve(lookup=False, on_the_fly=OnTheFly()),
)
