"""Will this household shop again within seven days?

Here: the declaration. Not here: what the features are (features.sql), what is predicted (labels.sql), how it is fitted
(train.py), or what to do at night (RUNBOOK.md).
"""

from __future__ import annotations

from serving_assets.catalog.checks import Checks
from serving_assets.catalog.columns import AtLeast, Between, Column, optional, required
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


def _count(description: str) -> Column:
    return required("int32", description, AtLeast(0))


def _share(description: str) -> Column:
    return optional("float64", description, Between(0, 1))


def _money(description: str) -> Column:
    return required("float64", f"{description}, in US dollars", AtLeast(0))


FEATURES = {
    "household_id": required("int64", "Household that shopped in the last 91 days", AtLeast(1)),
    "days_since_last_purchase": _count("Days since the last purchase, 1 for the day that has just ended"),
    "days_since_first_purchase_91d": _count("Days since the first purchase of the last 91 days"),
    "shopping_days_7d": _count("Days with a purchase among the last 7"),
    "shopping_days_28d": _count("Days with a purchase among the last 28"),
    "shopping_days_91d": _count("Days with a purchase among the last 91"),
    "shopping_days_weighted_91d": _count("The same, the newest day counting 91 times, the oldest once"),
    "shopping_days_trend": optional("float64", "Shopping days per day, of the last 28 minus of the last 91 days"),
    "shopping_weeks_28d": _count("Weeks with a purchase among the last 4"),
    "shopping_weeks_91d": _count("Weeks with a purchase among the last 13"),
    "mean_gap_91d": optional("float64", "Mean days from one shopping day to the next; none after a single one"),
    "overdue_ratio_91d": optional("float64", "Days since the last purchase over the mean gap: above 1 is overdue"),
    "favourite_weekday_share_91d": _share("Share of the shopping days that fall on the commonest weekday"),
    "baskets_28d": _count("Baskets of the last 28 days"),
    "baskets_91d": _count("Baskets of the last 91 days"),
    "morning_share_91d": _share("Share of the baskets paid before noon"),
    "evening_share_91d": _share("Share of the baskets paid from 17:00 on"),
    "items_per_basket_91d": optional("float64", "Mean pieces in a basket", AtLeast(0)),
    "departments_per_day_91d": optional("float64", "Mean departments in the widest basket of a day", AtLeast(0)),
    "spend_7d": _money("Spent in the last 7 days"),
    "spend_28d": _money("Spent in the last 28 days"),
    "spend_91d": _money("Spent in the last 91 days"),
    "spend_per_basket_91d": _money("Mean value of a basket"),
    "largest_basket_91d": _money("Value of the largest basket"),
    "discount_rate_91d": _share("Share of the shelf price that the loyalty card took off"),
    "coupon_discount_91d": _money("Taken off by manufacturers' coupons"),
    "coupons_redeemed_91d": _count("Campaign coupons redeemed"),
    "private_label_share_91d": _share("Share of the spend on the retailer's own brands"),
    "fuel_share_91d": _share("Share of the spend on fuel"),
    "drugstore_share_91d": _share("Share of the spend on drugstore goods"),
    "produce_share_91d": _share("Share of the spend on fruit and vegetables"),
    "meat_share_91d": _share("Share of the spend on meat"),
    "category_breadth_91d": _count("Of six categories, how many were bought from"),
    "campaigns_addressed": _count("Campaigns that have addressed the household so far"),
    "campaigns_active": _count("Of these, how many still run"),
    "days_since_campaign_start": optional("int32", "Days since the newest of these began"),
    "days_until_campaign_end": optional("int32", "Days until the last of these ends, negative when it has"),
    "age_years": optional("float64", "Middle of the age band, known for a third of the households"),
    "income_thousands": optional("float64", "Middle of the income band, in 1,000 US dollars"),
    "persons": optional("int32", "Persons in the household; 5 means five or more"),
    "kids": optional("int32", "Kids in the household; 3 means three or more"),
}

USE_CASE = UseCase(
    name="purchase_propensity",
    description="Probability that a household shops again within 7 days",
    owners=("team:personalization",),
    entity=Entity(key="household_id", dtype="int64"),
    features=Features(
        sql="features.sql",
        inputs={"household_days": LastDays(days=91), "households": Current(), "household_campaigns": Current()},
        population="household_days",
        columns=FEATURES,
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
    online_features=OnlineFeatures(),
    schedule=Daily(at="05:00", timezone="America/New_York"),
    training_schedule=Weekly(day="monday", at="06:00", timezone="America/New_York"),
    # A prediction "within 7 days" is void after a week: then, and for a household that was never scored, the basket
    # alone must do.
    checks=Checks(
        segments={
            "shops": "CASE WHEN shopping_days_28d >= 8 THEN 'often' WHEN shopping_days_28d >= 3 THEN 'now and then' "
            "ELSE 'seldom' END",
            "database": "CASE WHEN persons IS NULL THEN 'unknown' ELSE 'known' END",
        }
    ),
    serve=Serve(
        on_the_fly=OnTheFly(stored_features=True), fallback=Fallback(use_case="basket_propensity", max_age_days=7)
    ),
)
