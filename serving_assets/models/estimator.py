"""A fitted estimator as the platform meets it: asked for scores, probed for what it refuses, kept in a file.

Here: everything that touches the original estimator's own interface. Not here: its compiled form (compile.py), or
training.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from serving_assets.catalog.modules import PREFIX
from serving_assets.errors import InputError
from serving_assets.models.signature import Signature

Estimator = Any
"""A fitted scikit-learn classifier: has `predict_proba` and `classes_`; scikit-learn publishes no types."""


def positive_class(estimator: Estimator) -> int:
    """The column of `predict_proba` that belongs to label 1.

    Raises:
        InputError: when the estimator gives no probabilities, or does not know both labels.
    """
    if not hasattr(estimator, "predict_proba"):
        raise InputError(
            f"{type(estimator).__name__} gives no probabilities.", hint="Return a classifier that has predict_proba."
        )
    classes = [float(label) for label in getattr(estimator, "classes_", ())]
    if sorted(classes) != [0.0, 1.0]:
        raise InputError(
            f"the estimator knows the labels {classes}, expected 0 and 1.",
            hint="Fit it on labels of both kinds; check the labels' SQL when one kind is absent.",
        )
    return classes.index(1.0)


def frame(signature: Signature, batch: pa.RecordBatch) -> Any:
    """The features of `batch` as the estimator gets them: a pandas frame of float32 or str columns, in order."""
    import pandas as pd

    if signature.all_numeric:
        return pd.DataFrame(signature.matrix(batch), columns=list(signature.names))
    return pd.DataFrame(signature.columns(batch), columns=list(signature.names))


def predict(estimator: Estimator, signature: Signature, batch: pa.RecordBatch) -> np.ndarray:
    """The probability of label 1 by the estimator itself: float64 (rows,)."""
    scores = estimator.predict_proba(frame(signature, batch))[:, positive_class(estimator)]
    return np.asarray(scores, dtype=np.float64)


def refused_when_missing(estimator: Estimator, signature: Signature, row: pa.RecordBatch) -> tuple[str, ...]:
    """The features that the estimator refuses to miss, found by asking it.

    Args:
        estimator: fitted.
        signature: of the estimator.
        row: one complete row of the features.
    """
    numeric = [(i, feature.name) for i, feature in enumerate(signature.features) if not feature.is_string]
    holed = {name: row.set_column(i, name, pa.nulls(1, row.column(i).type)) for i, name in numeric}

    def refuses(rows: list[pa.RecordBatch]) -> bool:
        try:
            predict(estimator, signature, pa.concat_batches(rows))
        except ValueError:
            return True
        return False

    if not holed or not refuses(list(holed.values())):
        return ()
    return tuple(name for name, one in holed.items() if refuses([one]))


def in_one_thread(estimator: Estimator) -> Estimator:
    """Have every part of `estimator` work in one thread: forests add their trees in whatever order threads finish."""
    if hasattr(estimator, "get_params"):
        names = [name for name in estimator.get_params() if name == "n_jobs" or name.endswith("__n_jobs")]
        if names:
            estimator.set_params(**dict.fromkeys(names, 1))
    return estimator


@contextmanager
def openmp_threads(threads: int) -> Iterator[None]:
    """Have scikit-learn's OpenMP loops use `threads` threads, and sleep while they wait for each other.

    They spin by default: on two cores with other work on them, that made fitting and predicting 6 to 100 times slower
    than in one thread. Sleeping takes effect only where scikit-learn has not been imported yet.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import sklearn  # noqa: F401  threads are limited in the libraries that are loaded by now
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(threads):
        yield


def pickled(estimator: Estimator) -> bytes:
    """`estimator` in a form that a process without the use case's `train.py` can load."""
    import cloudpickle  # type: ignore[import-untyped]

    with _pickled_by_value(_private_modules(estimator)):
        return bytes(cloudpickle.dumps(estimator))


def unpickled(content: bytes) -> Estimator:
    """The estimator that `pickled` wrote; the caller has verified where the content comes from."""
    import cloudpickle

    return in_one_thread(cloudpickle.loads(content))


def _private_modules(estimator: Estimator) -> list[ModuleType]:
    """Modules that define a part of `estimator`, or what its parts call, and that another process cannot import."""
    parts = [estimator, *(estimator.get_params().values() if hasattr(estimator, "get_params") else ())]
    names = {getattr(part, "__module__", None) or type(part).__module__ for part in parts}
    names |= {name for name in sys.modules if name.startswith(PREFIX)}
    return [sys.modules[name] for name in sorted(names) if name in sys.modules and not _importable(name)]


def _importable(name: str) -> bool:
    parent = name.rpartition(".")[0]
    if not parent:
        return name in {"__main__", *sys.builtin_module_names} or PathFinder.find_spec(name) is not None
    path = getattr(sys.modules.get(parent), "__path__", None)
    return path is not None and _importable(parent) and PathFinder.find_spec(name, path) is not None


@contextmanager
def _pickled_by_value(modules: list[ModuleType]) -> Iterator[None]:
    import cloudpickle

    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
