"""The compiled scorer: equal to the estimator, indifferent to its company in a batch, and light to load."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving_assets.errors import InputError
from serving_assets.models.bundle import Bundle
from serving_assets.models.compile import NotCompilable, compile_onnx
from serving_assets.models.estimator import frame, predict
from serving_assets.models.packaging import package
from serving_assets.models.parity import certify
from serving_assets.models.scorer import Scorer, compiled, original
from serving_assets.models.signature import Feature, Signature
from serving_assets.models.training import Candidate
from tests.unit.models import samples
from tests.unit.models.conftest import ROWS


@cache
def fitted(trainer: str) -> tuple[Any, Signature]:
    """An estimator on the rows of the tests, and its signature. Tests must not change it."""
    rows = samples.table(ROWS)
    signature = Signature.of_schema(rows.schema, exclude=("label",), outputs=("score",))
    batch = rows.select(list(signature.names)).combine_chunks().to_batches()[0]
    return samples.TRAINERS[trainer](frame(signature, batch), rows["label"].to_pandas()), signature


def scorer_of(estimator: Any, signature: Signature, threads: int = 1) -> Scorer:
    """The compiled scorer of an estimator."""
    run = compiled(compile_onnx(estimator, signature), signature)
    return Scorer(name="synthetic", version="1", signature=signature, run=run, threads=threads)


@pytest.mark.parametrize("trainer", samples.TRAINERS)
def test_compiled_form_is_certified(trainer: str, rows: pa.Table) -> None:
    """Every kind of estimator that compiles equals its original on all rows and on those made to part them."""
    estimator, signature = fitted(trainer)
    parity = certify(estimator, scorer_of(estimator, signature), rows)
    assert parity.passed, parity
    assert parity.rows == rows.num_rows
    assert parity.adversarial_rows > 60


@pytest.mark.parametrize("form", ["compiled", "original"])
@pytest.mark.parametrize("trainer", samples.TRAINERS)
def test_same_row_same_bits(trainer: str, form: str, rows: pa.Table) -> None:
    """A row's score has the same bits alone, in batches of any size, at any place, and with any number of threads."""
    estimator, signature = fitted(trainer)
    batch = rows.combine_chunks().to_batches()[0]
    run = (
        original(estimator, signature)
        if form == "original"
        else compiled(compile_onnx(estimator, signature), signature)
    )
    scorers = [Scorer(name="s", version="1", signature=signature, run=run, threads=threads) for threads in (1, 2, 3)]
    whole = scorers[0].score(batch)["score"]
    for scorer in scorers[1:]:
        assert scorer.score(batch)["score"].tobytes() == whole.tobytes()
    for size in (1, 2, 3, 33, 700):
        for start in range(0, min(batch.num_rows, 40 * size), size):
            part = scorers[1].score(batch.slice(start, size))["score"]
            assert part.tobytes() == whole[start : start + size].tobytes(), (size, start)


def test_thresholds_are_rounded_down(rows: pa.Table) -> None:
    """A value just above a threshold that float32 cannot hold goes right in both forms."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    below, above = np.float32(1.0), np.nextafter(np.float32(1.0), np.float32(2.0))
    values = np.repeat([below, above], 50)
    model = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=5, early_stopping=False)
    signature = Signature.of_schema(pa.schema([("x", pa.float32())]), exclude=(), outputs=("score",))
    batch = pa.record_batch({"x": pa.array(values)})
    model.fit(frame(signature, batch), np.repeat([0.0, 1.0], 50))
    threshold = float(above) - 1e-9
    for stage in model._predictors:
        stage[0].nodes["num_threshold"][:] = np.where(stage[0].nodes["is_leaf"], 0, threshold)
    assert np.float32(threshold) == above
    expected = predict(model, signature, batch)
    assert expected[0] != expected[-1]
    np.testing.assert_allclose(scorer_of(model, signature).score(batch)["score"], expected, atol=1e-7)


def test_strings_are_features(rows: pa.Table) -> None:
    """A string feature compiles; missing and unseen categories score as in the original."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    towns = pa.array([("Bern", "Ulm", None)[i % 3] for i in range(rows.num_rows)])
    with_town = rows.select(["f0", "label"]).set_column(0, "f0", rows["f0"].fill_null(0.0)).append_column("town", towns)
    signature = Signature.of_schema(with_town.schema, exclude=("label",), outputs=("score",)).requiring(["f0"])
    chosen = [("town", OneHotEncoder(handle_unknown="ignore"), ["town"]), ("f0", StandardScaler(), ["f0"])]
    model = make_pipeline(ColumnTransformer(chosen), LogisticRegression())
    batch = with_town.select(["f0", "town"]).combine_chunks().to_batches()[0]
    model.fit(frame(signature, batch), with_town["label"].to_pandas())
    scorer = scorer_of(model, signature)
    parity = certify(model, scorer, with_town)
    assert parity.passed, parity
    assert (
        len(set(np.round(scorer.score(pa.record_batch({"f0": [1.0] * 3, "town": ["Bern", None, "Rom"]}))["score"], 6)))
        == 3
    )


def test_refuses_what_the_original_refuses(rows: pa.Table) -> None:
    """A scorer whose model takes no missing value refuses one by the feature's name."""
    estimator, signature = fitted("boosting")
    scorer = scorer_of(estimator, signature.requiring(["f1"]))
    with pytest.raises(InputError, match="'f1' is missing in 1 of 1 rows"):
        scorer.score(pa.record_batch({name: pa.array([None], pa.float64()) for name in signature.names}))


def test_no_rows_no_scores(rows: pa.Table) -> None:
    """An empty batch gives empty columns."""
    estimator, signature = fitted("boosting")
    assert scorer_of(estimator, signature).score(pa.RecordBatch.from_pylist([], rows.schema))["score"].shape == (0,)


def test_categorical_splits_do_not_compile() -> None:
    """Categorical splits of histogram gradient boosting, which the converter would get wrong, are refused."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    codes = np.random.default_rng(0).integers(0, 8, (400, 1)).astype(np.float32)
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(
        codes, (codes[:, 0] % 2).astype(float)
    )
    signature = Signature.of_schema(pa.schema([("x", pa.float32())]), exclude=(), outputs=("score",))
    with pytest.raises(NotCompilable, match="categorical splits"):
        compile_onnx(model, signature)


def test_bundle_scores_without_heavy_libraries(candidate: Candidate, tmp_path: Path) -> None:
    """Loading a compiled bundle and scoring with it imports neither MLflow nor scikit-learn, pandas or a converter."""
    bundle: Bundle = package(candidate, tmp_path / "bundle")
    assert bundle.form == "onnx"
    program = (
        "import sys, numpy, pyarrow\nfrom pathlib import Path\n"
        "class NoPandas:\n"  # pyarrow would import it by itself, and does without it
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pandas': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoPandas())\n"
        "from serving_assets.models.bundle import load_bundle\n"
        f"scorer = load_bundle(Path({str(bundle.path)!r})).scorer()\n"
        "row = pyarrow.RecordBatch.from_pylist([{}], scorer.signature.arrow_schema())\n"
        "assert scorer.score(row)['score'].shape == (1,)\n"
        "print(sorted({'mlflow', 'sklearn', 'skl2onnx', 'onnx', 'matplotlib', 'dagster'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("trainer", ["boosting", "network"])
def test_rows_score_as_the_batch_does(trainer: str, rows: pa.Table) -> None:
    """A few rows of plain values get bit for bit the scores of the same rows in a batch."""
    scorer = scorer_of(*fitted(trainer))
    batch = rows.select(list(scorer.signature.names)).combine_chunks().to_batches()[0]
    expected = scorer.score(batch)["score"]
    values = [list(row.values()) for row in batch.to_pylist()]
    alone = np.array([scorer.score_rows([value])[0, 0] for value in values])
    assert alone.tobytes() == expected.tobytes()
    assert scorer.score_rows(values)[:, 0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("value", [2**53 + 1, 2**62 + 1, -(2**53) - 3, True, 0.1, None])
def test_a_plain_value_is_rounded_as_its_column_is(value: float | None) -> None:
    """Integers beyond what float64 holds are rounded to float32 once, in a row as in a batch."""
    features = (Feature(name="x", dtype="float64"), Feature(name="y", dtype="float64"))
    signature = Signature(features=features, outputs=("score",))
    rows = [[value, 1.5]]
    batch = signature.batch_of(rows)
    np.testing.assert_array_equal(signature.matrix_of(rows), signature.matrix(batch))
    for name, column in signature.columns(batch).items():
        np.testing.assert_array_equal(signature.columns_of(rows)[name], column)


def test_a_row_without_a_required_feature_is_refused() -> None:
    """A required feature that is missing is named, whichever way the row came."""
    features = (Feature(name="x", dtype="float64", required=True),)
    with pytest.raises(InputError, match="'x' is missing in 1 of 1 rows"):
        Signature(features=features, outputs=("score",)).matrix_of([[None]])


def test_plain_text_enters_as_its_column_does() -> None:
    """Text is taken as it is, and missing text is empty, in a row as in a batch."""
    features = (Feature(name="x", dtype="string"), Feature(name="y", dtype="float64"))
    signature = Signature(features=features, outputs=("score",))
    rows = [["a", 1], [None, None], ["", 2.5]]
    batch = signature.batch_of(rows)
    for name, column in signature.columns(batch).items():
        assert signature.columns_of(rows)[name].tolist() == pytest.approx(column.tolist(), nan_ok=True)
