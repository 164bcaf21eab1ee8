"""An estimator compiled to ONNX: one graph from features to the predicted probability.

Here: the conversion. Not here: whether it is right (parity.py decides), or running it (scorer.py).
"""

from __future__ import annotations

import warnings
from typing import Any

from serving_assets.errors import ServingAssetsError
from serving_assets.models.estimator import Estimator, positive_class
from serving_assets.models.signature import Signature
from serving_assets.models.trees import align, forests

MATRIX = "features"
"""The graph's input when every feature is a number and one float32 matrix (rows, features) holds a batch."""


class NotCompilable(ServingAssetsError):
    """The estimator has no compiled form; it keeps its original one, which is slower and otherwise equal."""


def compile_onnx(estimator: Estimator, signature: Signature) -> bytes:
    """The serialised graph: features in, one float32 (rows, 1) output named as in the signature.

    Numbers enter as one matrix where the estimator takes columns by position, and else one by one, by name.

    Raises:
        NotCompilable: names what has no counterpart in ONNX.
    """
    if any(forest.categorical for forest in forests(estimator)):
        raise NotCompilable("histogram gradient boosting with categorical splits has no counterpart in ONNX.")
    if len(signature.outputs) != 1:
        raise NotCompilable(f"one output is compiled, not {len(signature.outputs)} ({', '.join(signature.outputs)}).")
    try:
        model = _convert(estimator, signature, by_name=not signature.all_numeric or _selects_by_name(estimator))
        align(model, estimator)
        _keep_only(model, positive_class(estimator), signature.outputs[0])
    except Exception as error:  # whatever stops the converter, the answer is the same: keep the original
        reason = str(error).strip().partition("\n")[0]
        raise NotCompilable(f"{type(estimator).__name__} does not convert to ONNX: {reason}") from error
    return bytes(model.SerializeToString())


def _convert(estimator: Estimator, signature: Signature, *, by_name: bool) -> Any:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    if by_name:
        types = {True: StringTensorType([None, 1]), False: FloatTensorType([None, 1])}
        inputs = [(feature.name, types[feature.is_string]) for feature in signature.features]
    else:
        inputs = [(MATRIX, FloatTensorType([None, len(signature.features)]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return to_onnx(estimator, initial_types=inputs, options={id(estimator): {"zipmap": False}}, name="scorer")


def _selects_by_name(estimator: Estimator) -> bool:
    """Whether a part of the estimator picks columns out of a frame by their names."""
    if hasattr(estimator, "transformers_"):
        return True
    return any(_selects_by_name(step) for _, step in getattr(estimator, "steps", ()))


def _keep_only(model: Any, column: int, output: str) -> None:
    """Reduce the graph's outputs, label and probabilities of both classes, to the one column that is served."""
    from onnx import TensorProto, helper

    probabilities = model.graph.output[1].name
    picked = helper.make_tensor("picked_class", TensorProto.INT64, [1], [column])
    model.graph.initializer.append(picked)
    model.graph.node.append(helper.make_node("Gather", [probabilities, "picked_class"], [output], axis=1))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1]))
