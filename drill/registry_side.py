"""What happens to the model registry: a champion that is worthless, none at all, and the first one again.

Here: the changes. Not here: when they are made (faults.py).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from drill.world import NAME
from serving_assets.models.bundle import write_bundle
from serving_assets.models.estimator import pickled
from serving_assets.models.lifecycle.registry import CHAMPION, Registry

FIRST = "1"


class Constant:
    """A classifier that says the same of every row."""

    classes_ = np.array([0.0, 1.0])

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """(rows, 2)."""
        return np.full((len(features), 2), 0.5)


def constant_champion(registry: Registry) -> None:
    """Register a model that says 0.5 of everybody, and let it score."""
    from mlflow import MlflowClient

    first = registry.bundle(NAME, FIRST)
    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    run = client.create_run(experiment.experiment_id)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        write_bundle(
            path,
            name=NAME,
            form="original",
            reason="the drill",
            model=pickled(Constant()),
            signature=first.signature,
            profile=first.profile,
            parity=None,
        )
        client.log_artifacts(run.info.run_id, str(path), "bundle")
    client.set_terminated(run.info.run_id)
    source = f"{run.info.artifact_uri}/bundle"
    version = client.create_model_version(NAME, source=source, run_id=run.info.run_id)
    registry.set_alias(NAME, CHAMPION, str(version.version))


def no_champion(registry: Registry) -> None:
    """Take the name of the champion away, as a slip in the registry's UI would."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    client.delete_registered_model_alias(NAME, CHAMPION)


def first_champion(registry: Registry) -> None:
    """The model of the demo scores again."""
    registry.set_alias(NAME, CHAMPION, FIRST)
