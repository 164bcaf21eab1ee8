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

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import pyarrow as pa

from serving_assets.models.compile import MATRIX
from serving_assets.models.estimator import Estimator, in_one_thread, predict
from serving_assets.models.signature import Signature, Value

Run = Callable[[pa.RecordBatch], np.ndarray]
"""Two or more rows to their scores: float64 (rows, outputs)."""

ROUNDING = 1e-6
"""By how much a sum of float32 parts of a probability may exceed its bounds."""
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

    def score_rows(self, rows: Sequence[Sequence[Value]]) -> np.ndarray:
        """The scores of a few rows of plain values, float64 (rows, outputs): bit for bit those of a batch.

        Each row has the features in the signature's order, None for missing. A batch costs ten times as much to build
        as a row to score, which is what a request would wait for.

        Raises:
            InputError: when a feature is missing although the model requires it.
        """
        if isinstance(self._run, Compiled):
            return self._run.rows([*rows, *rows])[:1] if len(rows) == 1 else self._run.rows(rows)
        scores = self.score(self.signature.batch_of(rows))
        return np.column_stack([scores[name] for name in self.columns])

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


class Compiled:
    """The compiled form: an ONNX graph, run on the CPU, in the thread that asks.

    Args:
        onnx: the graph.
        signature: of the model.
    """

    def __init__(self, onnx: bytes, signature: Signature) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._signature, self._outputs = signature, list(signature.outputs)
        self._by_matrix = [entry.name for entry in self._session.get_inputs()] == [MATRIX]

    def __call__(self, batch: pa.RecordBatch) -> np.ndarray:
        """The scores of a batch."""
        if self._by_matrix:
            return self._of({MATRIX: self._signature.matrix(batch)})
        return self._of({name: values.reshape(-1, 1) for name, values in self._signature.columns(batch).items()})

    def rows(self, rows: Sequence[Sequence[Value]]) -> np.ndarray:
        """The scores of two or more rows of plain values."""
        if self._by_matrix:
            return self._of({MATRIX: self._signature.matrix_of(rows)})
        return self._of({name: values.reshape(-1, 1) for name, values in self._signature.columns_of(rows).items()})

    def _of(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        return _probabilities(np.concatenate(self._session.run(self._outputs, feed), axis=1, dtype=np.float64))


def compiled(onnx: bytes, signature: Signature) -> Compiled:
    """The compiled form of a model."""
    return Compiled(onnx, signature)


def original(estimator: Estimator, signature: Signature) -> Run:
    """The original form: the estimator itself, given whole blocks of rows (the last rows again to fill one)."""
    in_one_thread(estimator)

    def run(batch: pa.RecordBatch) -> np.ndarray:
        rows = batch.num_rows
        blocks = -(-rows // _BLOCK) * _BLOCK
        filled = batch.take(pa.array(np.minimum(np.arange(blocks), rows - 1)))
        return _probabilities(predict(estimator, signature, filled)[:rows].reshape(-1, 1))

    return run


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """`scores` with what exceeds [0, 1] by rounding put on its bound; what exceeds it by more stays, for the checks.

    A sum of float32 parts, such as a forest's votes, may end at 1.0000001.
    """
    near = np.clip(scores, 0.0, 1.0)
    return np.where(np.abs(scores - near) <= ROUNDING, near, scores)
