"""The form in which a model serves: compiled where that is certified, and otherwise the estimator itself.

Here: the decision, made once per training. Everything that is measured of a candidate, written into its profile and
published later comes from the scorer of this form, so no two computations of one score are ever compared. Not here: the
compilation (compile.py), the certificate (parity.py), or the bundle that keeps the form (packaging.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from serving_assets.models.compile import NotCompilable, compile_onnx
from serving_assets.models.estimator import Estimator, pickled
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
        return ServingForm("original", reason, pickled(estimator), parity, scorer(original(estimator, signature)))

    try:
        graph = compile_onnx(estimator, signature)
    except NotCompilable as reason:
        return kept(reason.message, None)
    candidate = scorer(compiled(graph, signature))
    parity = certify(estimator, candidate, rows, tolerance=tolerance)
    return (
        ServingForm("onnx", parity.reason, graph, parity, candidate) if parity.passed else kept(parity.reason, parity)
    )
