"""Rules of declarations: what loads trains, scores, publishes, and is read back the same in batch and through the API.

Not here: what is refused when it loads, one by one (tests/unit/catalog/test_discovery.py), or declarations that change
while there is data (test_changed_declarations.py).
"""

from __future__ import annotations

import re
import tempfile
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from serving_assets.errors import DeclarationError
from serving_assets.lake import DayRange
from tests.pipeline.slice import Bench
from tests.pipeline.tiny import (
    BOOSTING,
    COLUMNS,
    DAY,
    DAYS,
    FIRST,
    NAME,
    PERSONS,
    Tiny,
    land,
    rows,
    score_and_read_back,
    trained,
)

pytestmark = pytest.mark.long

SHAPES = """
from factors import HALF
from sklearn.base import BaseEstimator, TransformerMixin


class Halved(TransformerMixin, BaseEstimator):
    def fit(self, features, labels=None):
        self.columns_ = features.shape[1]
        return self

    def transform(self, features):
        return features.fillna(0) * HALF


def half(values):
    return values / 2
"""
WITH_HELPERS = """
from shapes import Halved
from . import shapes
from .shapes import half
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


def train(features, labels):
    return make_pipeline(Halved(), FunctionTransformer(half), LogisticRegression()).fit(features, labels)
"""

DECLARATIONS: dict[str, Tiny] = {
    "every type, a number as key": Tiny(),
    "every type, a text as key": Tiny(key="string"),
    "one bool": Tiny({"flag": "bool_or(flag)"}, train=BOOSTING),
    "large integers": Tiny({"big": "max(big)", "small": "max(small)"}, train=BOOSTING),
    "texts alone": Tiny({"word": "max(word)"}),
    "always missing": Tiny({"none": "CAST(NULL AS DOUBLE)", "flag": "bool_or(flag)"}),
    "two baselines": Tiny(
        model='baselines=(Baseline(name="big", expression="big"), Baseline(name="flag", expression="flag")),'
    ),
    "nothing optional": Tiny(
        use_case="online_features=OnlineFeatures(),", predictions='columns={"score": Between(0, 1)}'
    ),
    "a default of 1, labels as integers": Tiny(label="CAST(bool_and(bought) AS INTEGER)", labels="default_label=1"),
    "names that SQL or the platform uses": Tiny(
        {
            "found": "max(big)",
            "group": "bool_or(flag)",
            "entity": "max(small)",
            "l": "max(long)",
            "score": "max(short)",
        },
        key_name="order",
        predictions='columns={"end": Between(0, 1)}',
        model='baselines=(Baseline(name="select", expression="found + entity"),),',
    ),
    "modules beside train.py": Tiny(
        {"long": "max(long)", "small": "max(small)"},
        train=WITH_HELPERS,
        beside={"shapes.py": SHAPES, "factors.py": "HALF = 0.5\n"},
    ),
}


@pytest.mark.parametrize("tiny", DECLARATIONS.values(), ids=DECLARATIONS)
def test_what_loads_is_read_back(tmp_path: Path, tiny: Tiny) -> None:
    """Each of these is trained, scored, published, and read back equal by batch, store and API."""
    bench = trained(tiny.bench(tmp_path), rows(key=tiny.key))
    assert len(score_and_read_back(bench)) == PERSONS


@st.composite
def declarations(draw: st.DrawFn) -> Tiny:
    """Any features over any columns, every option left out or set, also such that cannot be."""
    names = draw(st.lists(st.sampled_from([*COLUMNS]), min_size=1, max_size=4, unique=True))
    features = {name: draw(st.sampled_from(["max({0})", "any_value({0})", "min({0})"])).format(name) for name in names}
    if draw(st.sampled_from([False, False, False, True])):
        features["day_of"] = draw(st.sampled_from(["max(day)", "max(at)", "CAST(max(day) AS VARCHAR)"]))
    columns = draw(
        st.sampled_from(['"score": Between(0, 1)', '"p": Between(0, 1)', '"a": Between(0, 1), "b": Between(0, 1)'])
    )
    precision = draw(st.sampled_from(["", ", precision=0", ", precision=12", ", expire_after_days=1"]))
    decimals = draw(st.sampled_from(["", "columns={'flag': None}", f"columns=dict.fromkeys({sorted(names)})"]))
    return Tiny(
        features,
        key=draw(st.sampled_from(["int64", "string"])),
        model=draw(st.sampled_from(["", 'baselines=(Baseline(name="n", expression="1"),),', "task='binary',"])),
        labels=draw(st.sampled_from(["", "null_labels='refuse'", "default_label=1", "otherwise=1", "default_label=2"])),
        predictions=f"columns={{{columns}}}{precision}",
        use_case=f"online_features=OnlineFeatures({decimals}), serve=Serve(on_the_fly=OnTheFly(stored_features=True)),",
        train=draw(st.sampled_from([Tiny().train, Tiny().train, BOOSTING])) if "word" not in names else Tiny().train,
    )


def refused(tiny: Tiny, folder: Path) -> DeclarationError | None:
    """Why a declaration does not load."""
    try:
        tiny.bench(folder)
    except DeclarationError as error:
        return error
    return None


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(tiny=declarations(), seed=st.integers(0, 9))
def test_a_declaration_is_refused_when_it_loads_or_works(tiny: Tiny, seed: int) -> None:
    """Whatever is declared fails with file, field and fix when it loads, or its scores are read back equal."""
    with tempfile.TemporaryDirectory() as folder:
        refusal = refused(tiny, Path(folder))
        if refusal is not None:
            assert folder in refusal.message
            assert refusal.hint
            return
        bench = tiny.bench(Path(folder))
        assert score_and_read_back(trained(bench, rows(seed, tiny.key)))


def failures(bench: Bench, table: pa.Table) -> str:
    """Why a training fails."""
    land(bench, table)
    for outcome in bench.tables(DAYS):
        assert outcome.success, outcome.failures
    outcome = bench.train()
    assert not outcome.success
    assert bench.platform.registry.champion(NAME) is None
    return "\n".join(outcome.failures)


REFUSED: dict[str, tuple[Tiny, str]] = {
    "labels twice": (
        Tiny(label="CAST(unnest([1, 1]) AS DOUBLE)", labels_rest="WHERE person <= 8"),
        r"labels\.sql: returns 8 rows too many for what happened after 2024-03-0\d: "
        r"1 \(2 times\), 2 \(2 times\), 3 .*, 4 .*, 5 \(2 times\) and 3 more\. Return one row per person",
    ),
    "features twice": (
        Tiny({"flag": "unnest([true, false])"}, features_rest="WHERE person <= 8"),
        r"features\.sql: returns entities more than once: 1 on 2024-03-0\d \(2 times\), .* and \d+ more\. Return",
    ),
    "an import inside a function": (
        Tiny(
            {"long": "max(long)"},
            train=WITH_HELPERS,
            beside={
                "shapes.py": SHAPES.replace("values / 2", "values * __import__('factors').HALF"),
                "factors.py": "HALF = 1",
            },
        ),
        r"cannot be served: No module named 'factors'\. Import at the top of train\.py",
    ),
    "labels of many kinds": (
        Tiny(label="CAST(max(person) AS DOUBLE)"),
        r"labels\.sql: 39 labels after 2024-03-0\d are neither 0 nor 1: 2\.0, 3\.0, 4\.0, 5\.0, 6\.0 and 34 more\.",
    ),
    "labels not known yet, refused": (
        Tiny(label="CASE WHEN max(person) > 30 THEN NULL ELSE 1.0::DOUBLE END", labels="null_labels='refuse'"),
        r"labels\.sql: 10 labels after 2024-03-0\d are NULL, and null_labels is 'refuse'\. Return a label for each row",
    ),
}


@pytest.mark.parametrize(("tiny", "message"), REFUSED.values(), ids=REFUSED)
def test_rows_that_would_be_measured_wrong_are_refused(tmp_path: Path, tiny: Tiny, message: str) -> None:
    """Keys that stand twice and labels that are none stop a training, with the file and a few of the keys."""
    found = failures(tiny.bench(tmp_path), rows())
    assert re.search(message, found), found
    assert len(found) < 2_000


def test_the_history_that_training_needs_is_computed(tmp_path: Path) -> None:
    """A history that is too short is refused with the days needed, the days there, and when there are enough."""
    bench = Tiny().bench(tmp_path)
    three = DayRange(FIRST, FIRST + timedelta(days=2))
    assert bench.use_case.spec.history_days_needed == 4
    land(bench, rows(), three)
    assert all(outcome.success for outcome in bench.tables(three))
    (failure,) = bench.train().failures
    assert (
        "needs 4 days of history, and from 2024-03-01 to 2024-03-03 there are 3: 1 days of features, 3 as-of" in failure
    )
    assert "Train when 2024-03-04 is there" in failure


NOT_KNOWN = "CASE WHEN max(person) % 4 = 0 THEN NULL ELSE CAST(bool_or(bought) AS DOUBLE) END"


def test_a_label_that_is_not_known_yet_is_no_label(tmp_path: Path) -> None:
    """NULL is left out of fit, measure and matured quality, and counted; who has no row has the default."""
    tiny = Tiny(label=NOT_KNOWN, labels_rest="WHERE person % 4 <> 1 GROUP BY person", labels="default_label=1")
    bench = trained(tiny.bench(tmp_path), rows())
    found = bench.rows(
        "training_set", "person % 4 AS part, count(label) AS known, min(label) AS least", "true GROUP BY 1"
    )
    assert [(row["part"], row["known"]) for row in found] == [(0, 0), (1, 40), (2, 40), (3, 40)]
    assert found[1]["least"] == 1.0
    model = bench.instance.get_latest_materialization_event(bench.asset("model"))
    assert model is not None
    metadata = model.asset_materialization.metadata
    assert (metadata["train_rows"].value, metadata["holdout_rows"].value) == (90, 30)
    assert metadata["labels_not_known_yet"].value == 40
    before = DAY - timedelta(days=1)
    for day in (before, DAY):
        outcome = bench.score(day)
        assert outcome.success, outcome.failures
    quality = bench.verdict(bench.asset("historic"), "matured_quality").metadata
    assert (quality["rows"].value, quality["labels_not_known_yet"].value) == (30, 10)
