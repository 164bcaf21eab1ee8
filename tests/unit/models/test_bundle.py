"""Bundles: written whole, read back verified, in the form that the certificate allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from serving_assets.catalog.spec import UseCase
from serving_assets.errors import InputError
from serving_assets.models.bundle import EXPECTED, FILES, SAMPLE, Damaged, appearing, load_bundle
from serving_assets.models.lifecycle.champion import champion_version, point_to_champion
from serving_assets.models.packaging import package
from serving_assets.models.profile import quantile_bins
from serving_assets.models.training import Candidate, train_candidate
from tests.unit.models import samples

TRAIN = '''
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Threshold(ClassifierMixin, BaseEstimator):
    """Knows one rule, and no converter knows it."""

    def fit(self, features, labels):
        self.classes_ = np.array([0.0, 1.0])
        return self

    def predict_proba(self, features):
        score = np.where(features["f0"].fillna(0.0) > 20, 0.75, 0.25)
        return np.column_stack([1 - score, score])


def train(features, labels):
    return Threshold().fit(features, labels)
'''


@pytest.fixture
def unconvertible(use_case: UseCase, tmp_path: Path) -> Candidate:
    """A candidate of a class that only a file outside any package defines."""
    import importlib.util

    (tmp_path / "train.py").write_text(TRAIN)
    spec = importlib.util.spec_from_file_location("train_of_a_use_case", tmp_path / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return train_candidate(use_case, samples.training_set(), module.train, resamples=10)


def test_reads_back_what_was_written(candidate: Candidate, tmp_path: Path) -> None:
    """A bundle read back scores like the candidate and carries its signature, profile and certificate."""
    package(candidate, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.form == "onnx"
    assert bundle.signature == candidate.signature
    assert bundle.parity is not None
    assert bundle.parity.passed
    assert bundle.profile.rows == candidate.training_set.num_rows
    assert sum(bundle.profile.scores["score"].counts) == bundle.profile.score_rows == 600
    batch = candidate.holdout.combine_chunks().to_batches()[0]
    np.testing.assert_allclose(bundle.scorer().score(batch)["score"], candidate.scores, atol=1e-6)


@pytest.mark.parametrize(
    "file", [*sorted({"signature.json", "profile.json", "parity.json", "bundle.json", FILES["onnx"]})]
)
@pytest.mark.parametrize("harm", ["delete", "flip"])
def test_damage_is_told(candidate: Candidate, tmp_path: Path, file: str, harm: str) -> None:
    """A missing or altered file of a bundle is named, with the fix."""
    path = package(candidate, tmp_path / "bundle").path / file
    content = path.read_bytes()
    path.unlink() if harm == "delete" else path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(Damaged, match=rf"{file}.*Delete the folder"):
        load_bundle(tmp_path / "bundle")


def test_nothing_is_left_of_a_failed_write(tmp_path: Path) -> None:
    """A folder that could not be filled leaves nothing behind."""

    def fail() -> None:
        with appearing(tmp_path / "bundle") as folder:
            (folder / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_second_of_two_writers_keeps_the_first(tmp_path: Path) -> None:
    """A folder that appeared meanwhile stays as it is."""
    with appearing(tmp_path / "bundle") as late:
        (late / "late").touch()
        with appearing(tmp_path / "bundle") as early:
            (early / "early").touch()
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["early"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_does_not_compile_keeps_its_form(unconvertible: Candidate, tmp_path: Path) -> None:
    """An estimator without a compiled form is served as it is, also where its code is unknown, and says so."""
    bundle = package(unconvertible, tmp_path / "bundle")
    assert bundle.form == "original"
    assert "Threshold does not convert to ONNX" in bundle.manifest.reason
    program = (
        "import pyarrow\nfrom pathlib import Path\nfrom serving_assets.models.bundle import load_bundle\n"
        f"scorer = load_bundle(Path({str(bundle.path)!r})).scorer()\n"
        "rows = [{'f0': 30.0}, {'f0': None}]\n"
        "batch = pyarrow.RecordBatch.from_pylist(rows, scorer.signature.arrow_schema())\n"
        "print(scorer.score(batch)['score'].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path.root
    )
    assert (done.stdout.strip(), done.stderr) == ("[0.75, 0.25]", "")


def test_failed_certificate_keeps_the_original(use_case: UseCase, tmp_path: Path) -> None:
    """A compiled form that differs by more than the tolerance is not served, and the reason tells by how much."""
    rows = samples.training_set()
    candidate = train_candidate(use_case, rows, samples.boosting, resamples=10, tolerance=1e-12)
    bundle = package(candidate, tmp_path / "bundle")
    assert bundle.form == "original"
    assert "beyond 1e-12" in bundle.manifest.reason
    assert bundle.parity is not None
    assert not bundle.parity.passed
    assert bundle.parity.worst is not None
    assert set(bundle.parity.worst) == {"group", "expected", "found"}, "a bundle keeps nobody's features"
    batch = candidate.holdout.combine_chunks().to_batches()[0]
    np.testing.assert_array_equal(bundle.scorer().score(batch)["score"], candidate.scores)


@pytest.mark.parametrize(
    ("values", "edges", "nulls"),
    [
        ([1.0] * 9 + [2.0], 1, 0.0),
        ([float("nan")] * 4, 0, 1.0),
        (list(map(float, range(100))), 9, 0.0),
        ([1.0, np.inf], 0, 0.0),
    ],
)
def test_profile_counts_every_value_once(values: list[float], edges: int, nulls: float) -> None:
    """Bins hold every value that is there, the rest is the null rate, and equal values share a bin."""
    found = quantile_bins(np.array(values, dtype=np.float32), 10)
    assert len(found.edges) == edges
    assert found.null_rate == nulls
    assert sum(found.counts) == round(len(values) * (1 - nulls))


def test_a_scorer_proves_itself_on_the_bundles_sample(candidate: Candidate, tmp_path: Path) -> None:
    """A bundle carries rows with the estimator's scores; a scorer that gives others is not that bundle's."""
    bundle = package(candidate, tmp_path / "bundle")
    scorer = bundle.scorer()
    bundle.prove(scorer)
    scores = scorer.score_rows
    scorer.score_rows = lambda rows: scores(rows) + 1e-5  # type: ignore[method-assign]
    with pytest.raises(Damaged, match="scores of its own sample"):
        bundle.prove(scorer)


def test_a_bundle_keeps_nobodys_features(candidate: Candidate, tmp_path: Path) -> None:
    """The rows by which a scorer proves itself are put together of many, and none of them is a row of the data."""
    bundle = package(candidate, tmp_path / "bundle")
    with pa.ipc.open_file(bundle.path / SAMPLE) as file:
        sample = file.read_all().drop(EXPECTED).to_pylist()
    held = {tuple(row.values()) for row in candidate.holdout.select(list(bundle.signature.names)).to_pylist()}
    assert len(sample) > 50
    assert not held & {tuple(row.values()) for row in sample}


def test_the_pointer_names_the_champion(tmp_path: Path) -> None:
    """The champion's version is told by a file; none before the first promotion, and a broken one is named."""
    assert champion_version(tmp_path, "synthetic") is None
    (tmp_path / "synthetic").mkdir()
    for version in ("1", "2", "2"):
        point_to_champion(tmp_path, "synthetic", version)
        assert champion_version(tmp_path, "synthetic") == version
    (tmp_path / "synthetic" / "champion.json").write_text("{")
    with pytest.raises(InputError, match=r"champion\.json cannot be understood"):
        champion_version(tmp_path, "synthetic")
