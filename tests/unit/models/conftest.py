"""The fixtures of the model tests. Not here: how the data is made (samples.py)."""

from __future__ import annotations

import pyarrow as pa
import pytest

from serving_assets.catalog.spec import UseCase
from serving_assets.models.training import Candidate, train_candidate
from tests.unit.models import samples

ROWS = 1_500


@pytest.fixture(scope="session")
def rows() -> pa.Table:
    """ROWS rows of features and a label."""
    return samples.table(ROWS)


@pytest.fixture(scope="session")
def use_case() -> UseCase:
    """A use case of eight as-of days, three of them held out."""
    return samples.use_case()


@pytest.fixture(scope="session")
def candidate(use_case: UseCase) -> Candidate:
    """A boosted candidate of that use case."""
    return train_candidate(use_case, samples.training_set(), samples.boosting, resamples=200)
