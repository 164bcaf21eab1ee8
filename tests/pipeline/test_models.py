"""The model registry on a real MLflow database: versions, aliases, bundles, kills, and what a user is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving_assets.failpoints import VARIABLE
from serving_assets.models.bundle import Damaged, load_bundle
from serving_assets.models.lifecycle.registry import NoChampion, Registry
from serving_assets.models.lifecycle.registry_database import RegistryUnavailable
from serving_assets.models.packaging import package
from serving_assets.models.training import Candidate, train_candidate
from tests.unit.models import samples

NAME = "synthetic"
PICTURE = b"\x89PNG"


def registry_in(folder: Path) -> Registry:
    """The registry whose database, artifacts and bundles are in `folder`."""
    return Registry(f"sqlite:///{folder}/mlflow/mlflow.db", folder / "mlflow" / "artifacts", folder / "bundles")


def train_and_promote(folder: Path) -> str:
    """What a training run does: measure, package, register, promote."""
    candidate = train_candidate(samples.use_case(), samples.training_set(), samples.boosting, resamples=20)
    number = len(list(folder.glob("made-*")))
    bundle = package(candidate, folder / f"made-{number}")
    registry = registry_in(folder)
    version = registry.log_and_register(
        candidate,
        bundle,
        params={"max_iter": 30},
        metrics={"auc": candidate.metrics.auc},
        tags={"lake.synthetic/features": "7"},
        plots={"calibration.png": PICTURE},
    )
    registry.set_alias(NAME, "champion", version)
    return version


def in_child(folder: Path, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    """`train_and_promote` in a process of its own, which dies at `failpoint`."""
    program = (
        f"from pathlib import Path; from tests.pipeline.test_models import *; train_and_promote(Path({str(folder)!r}))"
    )
    environment = {**os.environ, VARIABLE: failpoint}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment, cwd=Path.cwd()
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which one version was trained and promoted, and the process that did it."""
    folder = tmp_path_factory.mktemp("registry")
    return folder, in_child(folder)


@pytest.fixture(scope="session")
def folder(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """That folder."""
    return trained[0]


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    """What that training measured."""
    return train_candidate(samples.use_case(), samples.training_set(), samples.boosting, resamples=20)


def test_champion_scores_as_it_was_measured(folder: Path, candidate: Candidate) -> None:
    """The champion's bundle names its version and gives the scores of the trained model."""
    registry = registry_in(folder)
    version = registry.serving_champion(NAME)
    scorer = registry.bundle(NAME, version).scorer()
    assert (scorer.name, scorer.version) == (NAME, version)
    batch = candidate.holdout.combine_chunks().to_batches()[0]
    np.testing.assert_allclose(scorer.score(batch)["score"], candidate.scores, atol=1e-6)
    assert registry.metrics(NAME, version) == {"auc": pytest.approx(candidate.metrics.auc)}


def test_others_can_use_the_registered_model(
    folder: Path, candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow loads the registered version, knows its signature, tags and pictures, and scores the same."""
    import mlflow

    registry = registry_in(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.tracking_uri)
    mlflow.set_tracking_uri(registry.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    features = candidate.holdout.select(list(candidate.signature.names)).to_pandas().astype("float32")
    np.testing.assert_allclose(model.predict(features)[:, 1], candidate.scores, atol=1e-6)
    assert model.metadata.get_input_schema().input_names() == list(candidate.signature.names)
    client = mlflow.MlflowClient()
    version = client.get_model_version(NAME, "1")
    assert version.tags == {"lake.synthetic/features": "7"}
    assert client.get_run(version.run_id).data.params == {"max_iter": "30"}
    found = Path(client.download_artifacts(version.run_id, "plots/calibration.png"))
    assert found.read_bytes() == PICTURE


def test_downloaded_once_and_mended(folder: Path) -> None:
    """A bundle on this machine is used without MLflow; a damaged copy is fetched again."""
    registry = registry_in(folder)
    path = registry.bundle(NAME, "1").path
    offline = Registry("http://127.0.0.1:9", folder, folder / "bundles")
    assert offline.bundle(NAME, "1").version == "1"
    (path / "scorer.onnx").write_bytes(b"broken")
    with pytest.raises(Damaged):
        load_bundle(path)
    assert registry.bundle(NAME, "1").version == "1"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["1", "champion.json"]


def test_no_champion(tmp_path: Path) -> None:
    """Before the first promotion there is no champion, and the error says what to do."""
    registry = registry_in(tmp_path)
    assert registry.champion(NAME) is None
    with pytest.raises(NoChampion, match=r"synthetic has no champion\. Train and promote first"):
        registry.serving_champion(NAME)


def test_unknown_version(folder: Path) -> None:
    """A version that does not exist is named, and so is the registry that was asked."""
    with pytest.raises(Exception, match=r"synthetic has no version 99 in the registry at sqlite"):
        registry_in(folder).bundle(NAME, "99")


def test_unreachable_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer gives one clear error, without its password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry("http://team:hidden@127.0.0.1:9", tmp_path, tmp_path / "bundles")
    with pytest.raises(RegistryUnavailable, match=r"MLflow at http://127\.0\.0\.1:9") as raised:
        registry.champion(NAME)
    assert "hidden" not in str(raised.value)


def test_broken_database(tmp_path: Path) -> None:
    """A file that is no database gives one clear error."""
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(RegistryUnavailable, match=r"mlflow\.db"):
        registry_in(tmp_path).champion(NAME)


@pytest.mark.long
@pytest.mark.parametrize(("failpoint", "next_version"), [("model.before_register", "1"), ("model.before_alias", "2")])
def test_a_killed_training_serves_nothing_and_the_next_one_does(
    tmp_path: Path, failpoint: str, next_version: str
) -> None:
    """A training killed before its end leaves the champion as it was; the next training promotes its own version."""
    killed = in_child(tmp_path, failpoint)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    registry = registry_in(tmp_path)
    assert registry.champion(NAME) is None
    assert train_and_promote(tmp_path) == next_version
    assert registry.champion(NAME) == next_version
    assert registry.bundle(NAME, next_version).version == next_version


def test_registering_is_quiet(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """A training in a new database prints nothing."""
    done = trained[1]
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
