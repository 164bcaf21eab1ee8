"""The gate that a candidate passes to become champion.

Here: the verdict and its reasons. Not here: setting the alias (registry.py), or when that happens (pipeline/).
"""

from __future__ import annotations

from collections.abc import Mapping

from serving_assets.catalog.columns import Spec
from serving_assets.catalog.spec import Promotion
from serving_assets.errors import InputError
from serving_assets.models.bundle import Bundle
from serving_assets.models.evaluation import Difference, HoldoutMetrics, paired_bootstrap
from serving_assets.models.scorer import Scorer
from serving_assets.models.training import Candidate

ROUNDING = 1e-9
"""AUC that two computations of the same ranking may differ by."""


class Condition(Spec):
    """One condition: what was measured against which threshold."""

    name: str
    passed: bool
    measured: str
    threshold: str


class GateVerdict(Spec):
    """Whether the candidate becomes champion, with every condition that was looked at."""

    promote: bool
    reasons: tuple[Condition, ...]


def against_champion(candidate: Candidate, champion: Scorer, *, resamples: int = 1_000) -> Difference | None:
    """The candidate's AUC minus the champion's on the candidate's holdout; None when the champion cannot score it.

    The champion cannot when the features' SQL has dropped or retyped a column that it needs, or when it refuses a row.
    """
    names = [name for name in champion.signature.names if name in candidate.holdout.column_names]
    batch = candidate.holdout.select(names).combine_chunks().to_batches()[0]
    try:
        scores = champion.score(batch)[champion.columns[0]]
    except InputError:
        return None
    others = {"champion": scores}
    compared = paired_bootstrap(candidate.labels, candidate.scores, others, candidate.entities, resamples=resamples)
    return compared["champion"]


def gate(
    metrics: HoldoutMetrics,
    baselines: Mapping[str, Difference],
    champion: Difference | None,
    bundle: Bundle,
    outputs: tuple[str, ...],
    spec: Promotion,
) -> GateVerdict:
    """Judge a candidate.

    Args:
        metrics: on its holdout.
        baselines: its AUC against each baseline.
        champion: its AUC against the champion's on the same rows; None when there is none, or none to compare with.
        bundle: its bundle.
        outputs: the columns that the use case publishes.
        spec: the use case's conditions.
    """
    reasons = [
        *(_beats(name, difference) for name, difference in baselines.items() if spec.beats_baselines),
        _calibrated(metrics, spec),
        _not_worse(champion, spec),
        _certified(bundle),
        Condition(
            name="outputs",
            passed=bundle.signature.outputs == outputs,
            measured=", ".join(bundle.signature.outputs),
            threshold=", ".join(outputs),
        ),
    ]
    return GateVerdict(promote=all(reason.passed for reason in reasons), reasons=tuple(reasons))


def _beats(name: str, difference: Difference) -> Condition:
    return Condition(
        name=f"beats {name}",
        passed=difference.low > ROUNDING,
        measured=_interval(difference),
        threshold="95 % interval of the AUC difference above 0",
    )


def _calibrated(metrics: HoldoutMetrics, spec: Promotion) -> Condition:
    return Condition(
        name="calibration",
        passed=metrics.calibration_error <= spec.max_calibration_error,
        measured=f"{metrics.calibration_error:.4f}",
        threshold=f"at most {spec.max_calibration_error:g}",
    )


def _not_worse(champion: Difference | None, spec: Promotion) -> Condition:
    return Condition(
        name="not worse than the champion",
        passed=champion is None or champion.low >= -spec.max_loss_vs_champion - ROUNDING,
        measured="no champion to compare with" if champion is None else _interval(champion),
        threshold=f"95 % interval of the AUC difference above {-spec.max_loss_vs_champion:g}",
    )


def _certified(bundle: Bundle) -> Condition:
    certified = bundle.form == "original" or (bundle.parity is not None and bundle.parity.passed)
    return Condition(
        name="scorer",
        passed=certified,
        measured=f"{bundle.form}: {bundle.manifest.reason}",
        threshold="compiled with a parity certificate, or in its original form",
    )


def _interval(difference: Difference) -> str:
    return f"{difference.difference:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
