"""The model registry: runs, versions and aliases in MLflow, bundles on this machine.

Here: everything that talks to MLflow. Not here: what a bundle holds (models/bundle.py), or which version deserves an
alias (promotion.py).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from serving_assets.errors import ConflictError, InputError
from serving_assets.failpoints import failpoint
from serving_assets.models.bundle import Bundle, Damaged, appearing, load_bundle, stamp
from serving_assets.models.estimator import frame
from serving_assets.models.lifecycle.champion import point_to_champion
from serving_assets.models.lifecycle.registry_database import (
    SQLITE,
    RegistryUnavailable,
    alias_in_database,
    prepare_database,
)
from serving_assets.models.training import Candidate

CHAMPION, CANDIDATE = "champion", "candidate"
_BUNDLE = "bundle"
_SAMPLE_ROWS = 100


class NoChampion(InputError):
    """No version of the model may be served yet."""


class Registry:
    """Models by use case: experiment, registered model and use case share one name.

    Args:
        tracking_uri: MLflow's server (http) or database (sqlite:///...), for tracking and registry alike.
        artifact_root: folder of the artifacts of a local database; a server decides for itself.
        bundles_dir: folder in which downloaded bundles are kept as `<name>/<version>`.
    """

    def __init__(self, tracking_uri: str, artifact_root: Path, bundles_dir: Path) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self.bundles_dir = bundles_dir

    def log_and_register(
        self,
        candidate: Candidate,
        bundle: Bundle,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        plots: Mapping[str, bytes],
    ) -> str:
        """Record one training as an MLflow run with its model and bundle, and register it.

        Args:
            candidate: the trained model, also logged in MLflow's own format for other users of the registry.
            bundle: what will be scored with.
            params: of the run.
            metrics: of the run.
            tags: of the run and the version, the lake's table versions of the training set among them.
            plots: PNG pictures by file name.

        Returns:
            The new version.

        Raises:
            RegistryUnavailable: when MLflow does not answer.
        """
        name = candidate.name
        with self._client() as client, _addressed(self.tracking_uri):
            import mlflow

            with mlflow.start_run(experiment_id=self._experiment(client, name), tags=dict(tags)) as run:
                mlflow.log_params({key: str(value)[:500] for key, value in params.items()})
                mlflow.log_metrics(dict(metrics))
                mlflow.log_artifacts(str(bundle.path), _BUNDLE)
                with tempfile.TemporaryDirectory() as folder:
                    for file, content in plots.items():
                        (Path(folder) / file).write_bytes(content)
                    mlflow.log_artifacts(folder, "plots")
                model = _log_model(candidate)
            failpoint("model.before_register")
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            version = client.create_model_version(
                name, source=model.model_uri, run_id=run.info.run_id, tags=dict(tags), model_id=model.model_id
            )
            return str(version.version)

    def champion(self, name: str) -> str | None:
        """The version that serves, or None before the first promotion."""
        return self.alias(name, CHAMPION)

    def serving_champion(self, name: str) -> str:
        """The version that serves.

        Raises:
            NoChampion: before the first promotion.
        """
        version = self.champion(name)
        if version is None:
            raise NoChampion(
                f"{name} has no champion.",
                hint=f"Train and promote first: materialize {name}/model, and read its verdict.",
            )
        return version

    def alias(self, name: str, alias: str) -> str | None:
        """The version that `alias` names, or None."""
        if self.tracking_uri.startswith(SQLITE):
            path = Path(self.tracking_uri.removeprefix(SQLITE))
            prepare_database(path)
            with suppress(LookupError):
                return alias_in_database(path, name, alias)
        from mlflow.exceptions import MlflowException

        with self._client() as client:
            try:
                return str(client.get_model_version_by_alias(name, alias).version)
            except MlflowException as error:
                if _is_absent(error):
                    return None
                raise

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point `alias` to `version`, in one step; a champion's bundle is here before it, its pointer follows."""
        failpoint("model.before_alias")
        if alias == CHAMPION:
            self.bundle(name, version)
        with self._client() as client:
            client.set_registered_model_alias(name, alias, version)
        if alias == CHAMPION:
            point_to_champion(self.bundles_dir, name, version)

    def metrics(self, name: str, version: str) -> dict[str, float]:
        """The metrics of the run that made `version`."""
        with self._client() as client:
            return dict(client.get_run(self._run_id(client, name, version)).data.metrics)

    def tags(self, name: str, version: str) -> dict[str, str]:
        """The tags that `log_and_register` gave `version`."""
        with self._client() as client:
            return dict(client.get_model_version(name, version).tags)

    def bundle(self, name: str, version: str) -> Bundle:
        """The bundle of `version`, downloaded once and verified at every call; a damaged copy is fetched again.

        Once it is on this machine, MLflow is neither imported nor asked.
        """
        path = self.bundles_dir / name / version
        if path.exists():
            try:
                return load_bundle(path)
            except Damaged:
                shutil.rmtree(path)
        with self._client() as client, appearing(path) as folder:
            client.download_artifacts(self._run_id(client, name, version), _BUNDLE, str(folder))
            for file in (folder / _BUNDLE).iterdir():
                file.rename(folder / file.name)
            (folder / _BUNDLE).rmdir()
            stamp(folder, version)
        return load_bundle(path)

    def _run_id(self, client: Any, name: str, version: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(client.get_model_version(name, version).run_id)
        except MlflowException as error:
            if _is_absent(error):
                raise InputError(
                    f"{name} has no version {version} in the registry at {self._shown_uri}.",
                    hint="Name a version that the registry lists.",
                ) from error
            raise

    def _experiment(self, client: Any, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            local = None if self.tracking_uri.startswith("http") else (self.artifact_root / name).absolute().as_uri()
            return str(client.create_experiment(name, artifact_location=local))
        if found.lifecycle_stage == "deleted":
            raise ConflictError(
                f"the MLflow experiment {name!r} was deleted.", hint="Restore it: mlflow experiments restore."
            )
        return str(found.experiment_id)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """A client of the registry; whatever keeps it from answering becomes one clear error."""
        _quiet()
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if self.tracking_uri.startswith(SQLITE):
            prepare_database(Path(self.tracking_uri.removeprefix(SQLITE)))
        try:
            yield MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).strip().partition("\n")[0].replace(self.tracking_uri, self._shown_uri)
            raise RegistryUnavailable(
                f"MLflow at {self._shown_uri} did not do what was asked: {reason[:300]}",
                hint="Check MLFLOW_TRACKING_URI and that the server is up, then run again.",
            ) from error

    @property
    def _shown_uri(self) -> str:
        """The URI without a password."""
        scheme, separator, rest = self.tracking_uri.partition("://")
        return f"{scheme}{separator}{rest.rpartition('@')[2]}"


@contextmanager
def _addressed(uri: str) -> Iterator[None]:
    """Let MLflow's functions speak to `uri`, and undo that it also writes the address to the environment."""
    import mlflow

    before = {name: os.environ.pop(name, "") for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before["MLFLOW_TRACKING_URI"])
        mlflow.set_registry_uri(before["MLFLOW_REGISTRY_URI"])
        for name in before:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value})


def _log_model(candidate: Candidate) -> Any:
    """Log the estimator in MLflow's format: skops, which loads without running code, where it knows every part."""
    import mlflow
    import skops.io  # type: ignore[import-untyped]
    from mlflow.models import infer_signature

    sample = candidate.holdout.slice(0, _SAMPLE_ROWS).select(list(candidate.signature.names)).combine_chunks()
    features = frame(candidate.signature, sample.to_batches()[0])
    common = {
        "sk_model": candidate.estimator,
        "name": candidate.name,
        "signature": infer_signature(features, candidate.scores[:_SAMPLE_ROWS]),
        "pyfunc_predict_fn": "predict_proba",
    }
    types = _untrusted(skops.io, candidate.estimator)
    if types is not None and all(name.startswith("sklearn.") for name in types):
        # Named, because MLflow would infer them by loading the model in another process: 10 of a small training's 30 s.
        needed = mlflow.sklearn.get_default_pip_requirements(include_skops=True)
        return mlflow.sklearn.log_model(
            **common, serialization_format="skops", skops_trusted_types=types, pip_requirements=needed
        )
    return mlflow.sklearn.log_model(**common, serialization_format="cloudpickle")


def _untrusted(skops_io: Any, estimator: Any) -> list[str] | None:
    """Types beyond those that skops loads unasked; None when it cannot write the estimator at all."""
    try:
        return list(skops_io.get_untrusted_types(data=skops_io.dumps(estimator)))
    except Exception:  # noqa: BLE001  whatever stops skops, the answer is the same: pickle
        return None


def _is_absent(error: Any) -> bool:
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def _quiet() -> None:
    """Turn off MLflow's telemetry, progress bars and informational log lines."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow  # noqa: F401  it sets its loggers' levels when it is imported

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
