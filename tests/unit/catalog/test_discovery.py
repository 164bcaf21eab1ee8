"""Rules of loading a catalog: whatever does not fit is told with file, field and fix before anything runs.

Not here: SQL by itself (test_sql.py), or the shipped catalog (tests/shipped_catalog/).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from serving_assets.catalog.discovery import load_catalog
from serving_assets.errors import DeclarationError
from tests.unit.catalog.small_catalog import DOMAIN, FILES, USE_CASE, write_catalog

DOM, DAYS, TOWNS = "domains/shop/domain.py", "domains/shop/person_days.sql", "domains/shop/towns.sql"
USE, TRAIN = "use_cases/buys_again/use_case.py", "use_cases/buys_again/train.py"
FEAT, LABELS = "use_cases/buys_again/features.sql", "use_cases/buys_again/labels.sql"

EDITS: list[tuple[str, str, str, str]] = [
    # file, what is replaced, by what, what must be told
    (DOM, 'delivery="daily"', 'delivery="daily", colour="red"', r"domain\.py:\d+: Source: colour: .*not perm"),
    (DOM, 'delivery="daily"', 'delivery="hourly"', r"Source: delivery: Input should be 'daily' or 'snapshot'"),
    (DOM, 'required("int64", "Line")', 'required("int", "Line")', r"Column: dtype: Input should be 'bool', "),
    (DOM, 'required("timestamp", "When")', 'required("timestamp", "When", AtLeast(1))', "bounds are for numbers"),
    (DOM, "Between(0, 100)", "Between(100, 0)", r"minimum 100\.0 is above maximum 0\.0; swap"),
    (DOM, "Between(0, 100)", "Between(0, float('inf'))", r"Bounds: maximum: .*finite"),
    (DOM, 'key=("id",)', 'key=("line",)', r"Source: the whole: column 'line' is not among columns \(id, person"),
    (DOM, 'key=("id",)', "key=()", r"Source: key: .*at least 1"),
    (DOM, 'event_time="sold_at",', "", r"Source: .*needs event_time"),
    (DOM, 'event_time="sold_at",', 'event_time="price",', r"event_time 'price' must be a timestamp or a date"),
    (DOM, '"price": opt', '"Day": opt', r"Source: columns: 'Day' is a name of the platform: rename"),
    (DOM, '"price": opt', '"_line": opt', r"'_line' is a name of the platform"),
    (DOM, '"price": opt', '"the price": opt', r"'the price' is not a column name: use letters"),
    (DOM, '"price": opt', '"ID": opt', r"'id' and 'ID' are one column"),
    (DOM, '"Europe/Berlin"', '"Europe/Bonn"', r"timezone: 'Europe/Bonn' is not a time zone: use"),
    (DOM, '("anna@example.com",)', '("anna",)', r"owners\.0: 'anna' is not an owner: use team:<name> or"),
    (DOM, '("anna@example.com",)', "()", r"Source: owners: .*at least 1"),
    (DOM, 'name="people"', 'name="People"', r"'People' is not a name: use lower-case"),
    (DOM, 'name="people"', 'name="sales"', r"'sales' is declared twice.*rename one"),
    (DOM, 'name="towns"', 'name="person_days"', r"'person_days' is declared twice"),
    (DOM, 'name="shop"', 'name="market"', r"name is 'market' in a folder called 'shop'\. Make the two equal"),
    (DOM, "DOMAIN = Domain(", "SHOP = Domain(", r"DOMAIN must be a Domain, and is None\. Define DOMAIN = Domain"),
    (DOM, "DOMAIN = Domain(", "DOMAIN = dict(", r"DOMAIN must be a Domain, and is \{'name'"),
    (DOM, "AtLeast(1)", "AtLeast(one)", r"domain\.py:14: fails when loaded: NameError: .*'one'"),
    (DOM, "AtLeast(1)", "AtLeast(1", r"domain\.py:\d+: fails when loaded: SyntaxError"),
    (DOM, 'sql="towns.sql"', 'sql="cities.sql"', r"cities\.sql: no such SQL file\. Create it"),
    (DOM, 'key=("person",),\n)\nDOMAIN', 'key=("name",),\n)\nDOMAIN', r"key names 'name', .*\(person, town\)"),
    (DOM, 'key=("person",),\n)\nDOMAIN', 'key=("day",),\n)\nDOMAIN', r"key names 'day', which towns\.sql"),
    (DOM, '"last_sold_at"', '"sold_at"', r"'person_days': event_time names 'sold_at', which person"),
    (DOM, '"last_sold_at"', '"spend"', r"event_time 'spend' is float64\. Name a column"),
    (DOM, '{"spend": req', '{"money": req', r"'person_days': columns names 'money', which"),
    (DOM, '{"spend": required("float64"', '{"spend": required("int64"', r"'spend' as int64, .* returns float64"),
    (DOM, 'partitioned="daily"', 'partitioned="none"', r"is not partitioned, but reads the daily sales"),
    (DOM, 'partitioned="none"', 'partitioned="daily"', r"towns\.sql: a daily table must return 'day' as a DATE"),
    (TOWNS, "FROM people", "FROM peple", r"towns\.sql: reads peple, which is not among its inputs \(.*people"),
    (TOWNS, "FROM people", "FROM towns", r"domain\.py: its tables read each other in a circle: towns -> towns"),
    (TOWNS, "person, town", "person, twn", r'(?s)towns\.sql: .*"twn" not found.*Candidate bindings: "town"'),
    (TOWNS, "person, town", "person, [town] AS town", r"column 'town' has the type VARCHAR\[\]"),
    (DAYS, "SELECT person, day,", "SELECT person,", r"person_days\.sql: a daily table must return 'day'"),
    (DAYS, "FROM sales", "FROM sales WHERE", r"person_days\.sql: line 4, column \d+: does not parse"),
    (USE, 'name="buys_again"', 'name="buys"', r"name is 'buys' in a folder called 'buys_again'"),
    (USE, "LastDays(days=28)", "LastDays(days=0)", r"LastDays: days: .*greater than 0"),
    (USE, '"towns": Current()', '"villages": Current()', r"inputs names 'villages'.*Known tables: .*tow"),
    (USE, '"towns": Current()', '"towns": LastDays(days=1)', r"inputs: 'towns' is not daily\. Read it as"),
    (USE, '"towns": Current()', '"towns": Current(), "people": Current()', r"people is never read by feat"),
    (USE, "NextDays(days=7)}", 'NextDays(days=7), "sales": NextDays(days=1)}', r"sales is never read by la"),
    (USE, 'population="person_days"', 'population="people"', r"population 'people' is not among inputs"),
    (USE, 'key="person", dtype="int64"', 'key="who", dtype="int64"', r"'who' is int64, .*it is no col"),
    (USE, 'key="person", dtype="int64"', 'key="person", dtype="string"', r"'person' is string, .*it is int64"),
    (USE, 'columns={"town": opt', 'columns={"city": opt', r"columns names 'city', which features\.sql"),
    (USE, '"days - 1"', '"dayz - 1"', r'(?s)baselines: often: .*"dayz" not found.*Candidate bindings: "days"'),
    (USE, '"days - 1"', '"town"', r"model\.baselines: often: town is no number\. Rank by a number"),
    (USE, "train.py:train", "train.py", r"Model: train: 'train\.py' does not name a function: write"),
    (USE, "train.py:train", "fit.py:train", r"model\.train: there is no .*fit\.py\. Create it, or correct"),
    (USE, "train.py:train", "train.py:fit", r"train\.py: has no function 'fit', which model\.train of"),
    (FEAT, "count(*) AS days", "count(*) AS days, max(day) AS d", r"features\.sql: no model takes d \(date\)\."),
    (FEAT, "count(*) AS days", "count(*) AS days, max(last_sold_at) AS t", r"no model takes t \(timestamp\)\. Turn it"),
    (USE, '"score": Between(0, 1)', '"a": Between(0, 1), "b": Between(0, 1)', r"predictions\.columns: .* not a, b;"),
    (USE, "NextDays(days=7)})", "NextDays(days=7)}, default_label=2)", r"default_label: a binary label .* not 2"),
    (USE, "NextDays(days=7)})", 'NextDays(days=7)}, null_labels="drop")', r"null_labels: .*'leave_out' or 'refuse'"),
    (USE, "train.py:train", 'train.py:train", as_ofs=8, every_days=1, holdout=1, task="binary', "leave no day.* 9 or"),
    (TRAIN, "def train(", "def train(:", r"train\.py:1: invalid syntax"),
    (USE, '{"score": Bet', '{"model_version": Bet', r"columns: model_version is written by the"),
    (USE, '{"score": Bet', '{"person": Bet', r"columns: person is written by the platform"),
    (USE, '{"score": Bet', '{"The score": Bet', r"columns\.The score.*: 'The score' is not a name"),
    (USE, '{"score": Between(0, 1)}', "{}", r"Predictions: columns: .*at least 1"),
    (USE, 'at="05:00"', 'at="5 am"', r"Daily: at: '5 am' is not a time of day: write hours and minutes"),
    (USE, "train.py:train", 'train.py:train", holdout=26, as_ofs=26, task="binary', r"holdout 26 leaves nothing of 26"),
    (FEAT, "SELECT person, count(*)", "SELECT count(*)", r"must return 'person' as int64, and returns none"),
    (FEAT, "SELECT person,", "SELECT CAST(person AS VARCHAR) AS person,", r"'person' as int64, .* string"),
    (FEAT, "AS days", "AS label", r"features\.sql: label is written by the platform\. Rename"),
    (FEAT, "AS days", "AS run_id", r"features\.sql: run_id is written by the platform"),
    (FEAT, "$as_of", "now()", r"now gives another answer at every run\. Use \$as_of"),
    (FEAT, "$as_of", "$as_of_day", r"features\.sql: .*parameters: as_of_day"),
    (LABELS, "AS label", "AS bought", r"must return 'label' as bool or .*, and returns none"),
    (LABELS, "CAST(1 AS DOUBLE)", "'yes'", r"must return 'label' as bool or .*, and returns string"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "told"), EDITS, ids=[f"{new[:40]}" for _, _, new, _ in EDITS])
def test_what_does_not_fit_is_told(tmp_path: Path, file: str, old: str, new: str, told: str) -> None:
    """One broken line stops the loading with an error that names the file, what is wrong in it, and the fix."""
    assert old in FILES[file]
    root = write_catalog(tmp_path, {file: FILES[file].replace(old, new, 1)})
    with pytest.raises(DeclarationError, match=told) as raised:
        load_catalog(root)
    assert raised.value.hint
    assert str(root) in raised.value.message


SECOND_USE_CASE = {
    name.replace("buys_again", "buys_more"): text.replace("buys_again", "buys_more")
    for name, text in FILES.items()
    if name.startswith("use_cases/")
}
SECOND_DOMAIN = {
    "domains/web/domain.py": DOMAIN.replace('name="shop"', 'name="web"')
    .replace('name="sales"', 'name="clicks"')
    .replace('name="people"', 'name="users"')
    .replace("(DAYS, TOWNS)", "()")
    .replace("Europe/Berlin", "Asia/Tokyo")
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({FEAT: None}, r"features\.sql: no such SQL file"),
        ({USE: None}, r"buys_again: has no use_case\.py\. Create it, with USE_CASE in it"),
        ({DOM: None}, r"shop: has no domain\.py\. Create it"),
        ({TOWNS: "SELECT person, NULL::DATE AS day FROM people", DOM: DOMAIN.replace('"none"', '"daily"')},
         r"towns\.sql: is partitioned daily, but reads no daily table"),
        ({"domains/web/domain.py": SECOND_DOMAIN["domains/web/domain.py"].replace('"clicks"', '"sales"')},
         r"web/domain\.py: 'sales' is declared twice, also in .*shop/domain\.py"),
        ({**SECOND_DOMAIN, USE: USE_CASE.replace('"towns": C', '"users": C'),
          FEAT: FILES[FEAT].replace("towns", "users")},
         r"different time zones \(Asia/Tokyo, Europe/Berlin\)"),
        ({**SECOND_DOMAIN, TOWNS: "SELECT person, town FROM users"}, r"towns\.sql: reads users, which is not among"),
        ({name.replace("buys_again", "raw"): text.replace("buys_again", "raw") for name, text in FILES.items()}
         | {name: None for name in FILES if name.startswith("use_cases/")},
         r"name: 'raw' is the name of a layer of the lake"),
        ({DAYS: "SELECT person, day, sold_at AS last_sold_at, spend FROM towns JOIN sales USING (person)",
          TOWNS: "SELECT person, 'x' AS town FROM person_days"},
         r"read each other in a circle: (towns -> person_days -> towns|person_days -> towns -> person_days)"),
    ],
    ids=["no SQL", "no use_case.py", "no domain.py", "nothing daily", "two domains, one name", "two time zones",
         "another domain's table", "a layer's name", "a circle of two"],
)  # fmt: skip
def test_what_does_not_fit_together_is_told(tmp_path: Path, changes: dict[str, str | None], told: str) -> None:
    """Files that are right by themselves and wrong together stop the loading in the same way."""
    with pytest.raises(DeclarationError, match=told) as raised:
        load_catalog(write_catalog(tmp_path, changes))
    assert raised.value.hint


def test_a_folder_without_a_catalog_is_told(tmp_path: Path) -> None:
    """A wrong address of the catalog is an error, not an empty catalog."""
    with pytest.raises(DeclarationError, match=r"has no folder domains/\. Correct CATALOG_DIR"):
        load_catalog(tmp_path)


def test_a_catalog_says_what_it_holds(tmp_path: Path) -> None:
    """Tables come in the order in which they can be built, with schema and lineage; a use case with its features."""
    catalog = load_catalog(write_catalog(tmp_path))
    assert list(catalog.tables) == ["sales", "people", "person_days", "towns"]
    days = catalog.tables["person_days"]
    assert (days.lake_name, days.daily, days.inputs) == ("mapped/person_days", True, ("sales",))
    assert dict(days.schema) == {"day": "date", "person": "int64", "last_sold_at": "timestamp", "spend": "float64"}
    assert days.lineage is not None
    assert days.lineage["spend"] == (("sales", "price"),)
    assert days.columns["spend"].required
    assert not days.columns["person"].required
    use_case = catalog.use_case("buys_again")
    assert use_case.feature_names == ("days", "town")
    assert use_case.feature_lineage["town"] == (("towns", "town"),)
    assert ZoneInfo(use_case.domain.timezone).key == "Europe/Berlin"
    with pytest.raises(DeclarationError, match=r"No use case 'churn' .*Known use cases: buys_again"):
        catalog.use_case("churn")


def test_a_second_use_case_is_one_folder(tmp_path: Path) -> None:
    """A folder more is a use case more; leftovers of one that is gone, and hidden folders, are none."""
    root = write_catalog(tmp_path, SECOND_USE_CASE)
    (root / "use_cases" / "gone" / "__pycache__").mkdir(parents=True)
    (root / "use_cases" / "_templates").mkdir()
    (root / "use_cases" / "_templates" / "note.txt").write_text("no use case")
    assert sorted(load_catalog(root).use_cases) == ["buys_again", "buys_more"]


def test_training_code_is_loaded_when_it_is_used(tmp_path: Path) -> None:
    """Loading a catalog does not run train.py; two catalogs with the same names keep their modules apart."""
    marker = "import sys\nsys.modules['trained_{0}'] = sys\n\ndef train(features, labels):\n    return {0}\n"
    roots = [write_catalog(tmp_path / str(n), {TRAIN: marker.format(n)}) for n in (1, 2)]
    catalogs = [load_catalog(root) for root in roots]
    assert not re.findall(r"trained_\d", " ".join(sys.modules))
    assert [catalog.use_case("buys_again").train(None, None) for catalog in catalogs] == [1, 2]
    assert sys.modules.pop("trained_1") is sys.modules.pop("trained_2")
