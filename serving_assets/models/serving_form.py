"""The form in which a model serves: compiled where that is certified, and otherwise the estimator itself.

Here: the decision, made once per training. Everything that is measured of a candidate, written into its profile and
published later comes from the scorer of this form, so no two computations of one score are ever compared. Not here: the
compilation (compile.py), the certificate (parity.py), or the bundle that keeps the form (packaging.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from serving_assets.errors import InputError
from serving_assets.models.compile import NotCompilable, compile_onnx
from serving_assets.models.estimator import Estimator, pickled, predict, unpickled
from serving_assets.models.parity import TOLERANCE, ScorerParity, certify
from serving_assets.models.scorer import Run, Scorer, compiled, original
from serving_assets.models.signature import Signature

Form = Literal["onnx", "original"]


@dataclass(frozen=True)
class ServingForm:
    """A form with its scorer: `model` is the ONNX graph or the pickled estimator, `reason` why it is this form.

    `parity` is None where nothing was compiled.
    """

    form: Form
    reason: str
    model: bytes
    parity: ScorerParity | None
    scorer: Scorer


def serving_form(
    name: str, estimator: Estimator, signature: Signature, rows: pa.Table, *, tolerance: float = TOLERANCE
) -> ServingForm:
    """Compile the model `name` and certify the result on `rows` (all features) and on adversarial ones.

    The compiled form is kept when no score is further than `tolerance` from the estimator's.
    """

    def scorer(run: Run) -> Scorer:
        return Scorer(name=name, version="", signature=signature, run=run)

    def kept(reason: str, parity: ScorerParity | None) -> ServingForm:
        model = pickled(estimator)
        return ServingForm(
            "original", reason, model, parity, scorer(original(_read_back(model, signature, rows), signature))
        )

    try:
        graph = compile_onnx(estimator, signature)
    except NotCompilable as reason:
        return kept(reason.message, None)
    candidate = scorer(compiled(graph, signature))
    parity = certify(estimator, candidate, rows, tolerance=tolerance)
    return (
        ServingForm("onnx", parity.reason, graph, parity, candidate) if parity.passed else kept(parity.reason, parity)
    )


def _read_back(model: bytes, signature: Signature, rows: pa.Table) -> Estimator:
    """The estimator as the serving process reads it, proven to score there.

    Raises:
        InputError: when it needs a module that only the training process has.
    """
    try:
        estimator = unpickled(model)
        predict(estimator, signature, rows.slice(0, 1).select(list(signature.names)).combine_chunks().to_batches()[0])
    except ImportError as error:
        raise InputError(
            f"the trained estimator cannot be served: {error}.",
            hint="Import at the top of train.py and of the modules beside it, not inside functions.",
        ) from error
    return estimator
