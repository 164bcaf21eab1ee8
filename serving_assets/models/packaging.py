"""A candidate made into a bundle: compiled, certified, profiled, or left as it is with the reason.

Here: the decision for one of the two forms. Not here: the folder's format (bundle.py), or the comparison (parity.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from serving_assets.catalog.spec import DAY
from serving_assets.models.bundle import EXPECTED, Bundle, Form, write_bundle
from serving_assets.models.compile import NotCompilable, compile_onnx
from serving_assets.models.estimator import openmp_threads, pickled, predict
from serving_assets.models.evaluation import held_out
from serving_assets.models.parity import TOLERANCE, ScorerParity, certify
from serving_assets.models.profile import profile
from serving_assets.models.scorer import Scorer, compiled
from serving_assets.models.training import Candidate

SAMPLE_ROWS = 64


def package(candidate: Candidate, folder: Path, *, tolerance: float = TOLERANCE) -> Bundle:
    """Write the candidate's bundle to `folder`, which must not exist.

    The compiled form is kept when it equals the estimator on all held-out and adversarial rows; otherwise the estimator
    itself is, with the reason in the manifest.
    """
    form, reason, model, parity = _form(candidate, tolerance)
    return write_bundle(
        folder,
        name=candidate.name,
        form=form,
        reason=reason,
        model=model,
        signature=candidate.signature,
        profile=profile(
            candidate.signature,
            candidate.training_set,
            candidate.scores,
            day=DAY,
            score_days=candidate.holdout.column(DAY).to_numpy(),
            held_out=held_out(candidate.labels, candidate.scores, candidate.entities),
        ),
        parity=parity,
        sample=_sample(candidate),
    )


def _sample(candidate: Candidate) -> pa.Table:
    """Rows with the estimator's own scores: who loads the bundle can prove it.

    No row is a person's, of whom a bundle would know for good: each feature is drawn from another held-out row.
    """
    held, dice = candidate.holdout, np.random.default_rng(0)
    columns = {
        name: held.column(name).take(pa.array(dice.integers(0, held.num_rows, min(SAMPLE_ROWS, held.num_rows))))
        for name in candidate.signature.names
    }
    features = pa.table(columns).combine_chunks()
    with openmp_threads(1):
        scores = predict(candidate.estimator, candidate.signature, features.to_batches()[0])
    return features.append_column(EXPECTED, pa.array(scores))


def _form(candidate: Candidate, tolerance: float) -> tuple[Form, str, bytes, ScorerParity | None]:
    try:
        graph = compile_onnx(candidate.estimator, candidate.signature)
    except NotCompilable as reason:
        return "original", reason.message, pickled(candidate.estimator), None
    run = compiled(graph, candidate.signature)
    scorer = Scorer(name=candidate.name, version="", signature=candidate.signature, run=run)
    parity = certify(candidate.estimator, scorer, candidate.holdout, tolerance=tolerance)
    if parity.passed:
        return "onnx", parity.reason, graph, parity
    return "original", parity.reason, pickled(candidate.estimator), parity
