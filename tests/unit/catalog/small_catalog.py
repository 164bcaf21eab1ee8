"""The smallest catalog that has one of everything, as text files, so that a test can break any line of it."""

from __future__ import annotations

from pathlib import Path

DOMAIN = """
from datetime import date

from serving_assets.catalog.columns import AtLeast, Between, optional, required
from serving_assets.catalog.spec import Domain, MappedTable, Source

SALES = Source(
    name="sales",
    description="Lines",
    owners=("team:shop",),
    delivery="daily",
    columns={
        "id": required("int64", "Line"),
        "person": required("int64", "Who", AtLeast(1)),
        "sold_at": required("timestamp", "When"),
        "price": optional("float64", "Money", Between(0, 100)),
    },
    key=("id",),
    event_time="sold_at",
)
PEOPLE = Source(
    name="people",
    description="Persons",
    owners=("anna@example.com",),
    delivery="snapshot",
    columns={"person": required("int64", "Who"), "town": optional("string", "Where")},
    key=("person",),
)
DAYS = MappedTable(
    name="person_days",
    description="What a person bought on a day",
    owners=("team:shop",),
    sql="person_days.sql",
    partitioned="daily",
    key=("person", "day"),
    event_time="last_sold_at",
    columns={"spend": required("float64", "Money", AtLeast(0))},
)
TOWNS = MappedTable(
    name="towns",
    description="Persons with a town",
    owners=("team:shop",),
    sql="towns.sql",
    partitioned="none",
    key=("person",),
)
DOMAIN = Domain(
    name="shop",
    description="A shop",
    timezone="Europe/Berlin",
    first_day=date(2017, 1, 1),
    sources=(SALES, PEOPLE),
    tables=(DAYS, TOWNS),
)
"""
USE_CASE = """
from serving_assets.catalog.columns import Between, optional
from serving_assets.catalog.spec import (
    Baseline, Current, Daily, Entity, Features, Labels, LastDays, Model, NextDays, Predictions, UseCase, Weekly
)

USE_CASE = UseCase(
    name="buys_again",
    description="Whether a person buys again",
    owners=("team:shop",),
    entity=Entity(key="person", dtype="int64"),
    features=Features(
        sql="features.sql",
        inputs={"person_days": LastDays(days=28), "towns": Current()},
        population="person_days",
        columns={"town": optional("string", "Where the person lives")},
    ),
    labels=Labels(sql="labels.sql", inputs={"person_days": NextDays(days=7)}),
    model=Model(train="train.py:train", baselines=(Baseline(name="often", expression="days - 1"),)),
    predictions=Predictions(columns={"score": Between(0, 1)}),
    schedule=Daily(at="05:00", timezone="Europe/Berlin"),
    training_schedule=Weekly(day="monday", at="06:00", timezone="Europe/Berlin"),
)
"""
FILES = {
    "domains/shop/domain.py": DOMAIN,
    "domains/shop/person_days.sql": """
SELECT person, day, max(sold_at) AS last_sold_at, sum(price) AS spend
FROM sales
GROUP BY person, day
""",
    "domains/shop/towns.sql": "SELECT person, town FROM people WHERE town IS NOT NULL",
    "use_cases/buys_again/use_case.py": USE_CASE,
    "use_cases/buys_again/features.sql": """
SELECT person, count(*) AS days, any_value(town) AS town
FROM person_days LEFT JOIN towns USING (person)
WHERE last_sold_at < $as_of
GROUP BY person
""",
    "use_cases/buys_again/labels.sql": "SELECT DISTINCT person, CAST(1 AS DOUBLE) AS label FROM person_days",
    "use_cases/buys_again/train.py": "def train(features, labels):\n    return features\n",
}


def write_catalog(root: Path, changes: dict[str, str | None] | None = None) -> Path:
    """Write the catalog below `root`; `changes` replaces whole files, None leaves one out."""
    for name, text in {**FILES, **(changes or {})}.items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return root
