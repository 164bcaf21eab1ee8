"""A candidate made into a bundle: its serving form with signature, profile and a proof.

Here: what is written. Not here: the folder's format (bundle.py), or the choice of the form (serving_form.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from serving_assets.catalog.spec import DAY
from serving_assets.models.bundle import EXPECTED, Bundle, write_bundle
from serving_assets.models.estimator import openmp_threads, predict
from serving_assets.models.evaluation import held_out
from serving_assets.models.profile import profile
from serving_assets.models.training import Candidate

SAMPLE_ROWS = 64


def package(candidate: Candidate, folder: Path) -> Bundle:
    """Write the candidate's bundle to `folder`, which must not exist."""
    form, held = candidate.form, candidate.held_out_rows
    return write_bundle(
        folder,
        name=candidate.name,
        form=form.form,
        reason=form.reason,
        model=form.model,
        signature=candidate.signature,
        profile=profile(
            candidate.signature,
            candidate.training_set,
            candidate.held_out_scores,
            day=DAY,
            score_days=held.column(DAY).to_numpy(),
            held_out=held_out(candidate.labels, candidate.scores, candidate.entities),
        ),
        parity=form.parity,
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
