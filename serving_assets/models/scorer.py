"""Rows in, scores out: the one scorer that batch and API share.

Here: the compiled and the original form behind one interface. Not here: how either was made or proven (compile.py,
parity.py).

The same features give the same score, bit for bit, whatever else is in the batch. The libraries do not give that by
themselves: with several threads ONNX Runtime adds the trees of a small batch in another order than those of a large
one, and a single row is multiplied by another kernel than a matrix. So a session runs in one thread, a batch is cut
into slices that run side by side, no slice has less than two rows, and an estimator sees whole blocks. The parity
certificate proves it for each compiled model.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import pyarrow as pa

from serving_assets.models.compile import MATRIX
from serving_assets.models.estimator import Estimator, in_one_thread, predict
from serving_assets.models.signature import Signature

Run = Callable[[pa.RecordBatch], np.ndarray]
"""Two or more rows to their scores: float64 (rows, outputs)."""

_SMALLEST_SLICE = 512
"""Rows below which handing a slice to another thread costs more than it saves."""


_BLOCK = 64
"""Linear algebra takes another path for the rows that are left over beyond whole tiles of its kernels."""


class Scorer:
    """A model that can be asked for scores, by several threads at once.

    Args:
        name: of the model, which is its use case.
        version: in the registry; empty before registration.
        signature: what it takes and gives.
        run: the form it has.
        threads: slices of one batch that run side by side.
    """

    def __init__(self, *, name: str, version: str, signature: Signature, run: Run, threads: int = 1) -> None:
        self.name = name
        self.version = version
        self.signature = signature
        self.threads = threads
        self._run = run
        self._checked: pa.Schema | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the scored columns."""
        return self.signature.outputs

    def score(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        """The scored columns of `batch`, each float64 (rows,); columns that are no features are ignored.

        Raises:
            InputError: when a feature is absent, of the wrong kind, or missing in a row although the model requires it.
        """
        if self._checked is None or not batch.schema.equals(self._checked):
            self.signature.check(batch.schema)
            self._checked = batch.schema
        self.signature.check_rows(batch)
        scores = self._scores(batch.select(list(self.signature.names)))
        return {name: scores[:, index] for index, name in enumerate(self.columns)}

    def _scores(self, batch: pa.RecordBatch) -> np.ndarray:
        rows = batch.num_rows
        slices = max(1, min(self.threads, rows // _SMALLEST_SLICE))
        if slices == 1:
            return self._slice(batch)
        size = -(-rows // slices)
        parts = [batch.slice(start, size) for start in range(0, rows, size)]
        return np.concatenate(list(self._pool.map(self._slice, parts)))

    def _slice(self, batch: pa.RecordBatch) -> np.ndarray:
        if batch.num_rows == 0:
            return np.empty((0, len(self.columns)))
        if batch.num_rows == 1:
            return self._run(pa.concat_batches([batch, batch]))[:1]
        return self._run(batch)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, thread_name_prefix=f"score-{self.name}")


def compiled(onnx: bytes, signature: Signature) -> Run:
    """The compiled form: an ONNX graph, run on the CPU, in the thread that asks."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    by_matrix = [entry.name for entry in session.get_inputs()] == [MATRIX]
    outputs = list(signature.outputs)

    def run(batch: pa.RecordBatch) -> np.ndarray:
        if by_matrix:
            feed = {MATRIX: signature.matrix(batch)}
        else:
            feed = {name: values.reshape(-1, 1) for name, values in signature.columns(batch).items()}
        return np.concatenate(session.run(outputs, feed), axis=1, dtype=np.float64)

    return run


def original(estimator: Estimator, signature: Signature) -> Run:
    """The original form: the estimator itself, given whole blocks of rows (the last rows again to fill one)."""
    in_one_thread(estimator)

    def run(batch: pa.RecordBatch) -> np.ndarray:
        rows = batch.num_rows
        blocks = -(-rows // _BLOCK) * _BLOCK
        filled = batch.take(pa.array(np.minimum(np.arange(blocks), rows - 1)))
        return predict(estimator, signature, filled)[:rows].reshape(-1, 1)

    return run
