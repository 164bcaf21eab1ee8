"""Profile: features and scores against what they looked like when the model was made.

Here: counting a table's columns in the bins of the champion's reference profile, and the verdicts on null rates and
drift. Not here: the statistics (monitoring/), or the profile's making (models/profile.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from serving_assets.catalog.checks import Checks
from serving_assets.catalog.columns import identifier
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.models.bundle import Bundle
from serving_assets.models.lifecycle.champion import champion_version
from serving_assets.models.plots import drift_plot
from serving_assets.models.profile import Categories, Numbers
from serving_assets.monitoring.distributions import Distribution, count_batch
from serving_assets.monitoring.drift import Drift, drifts
from serving_assets.monitoring.nulls import NullRate, null_rates
from serving_assets.monitoring.severity import Severity, worst
from serving_assets.pipeline.checks.verdict import EXAMPLES, Check, Verdict, counted, table_of
from serving_assets.pipeline.dagster_instance.step_metadata import picture
from serving_assets.pipeline.platform import Platform

NULL_RATES = Check("null_rates", "Each feature is missing about as often as when the model was made.", compares=True)
FEATURE_DRIFT = Check(
    "feature_drift",
    "The features are distributed as when the model was made, chance and habit apart.",
    blocking=False,
    compares=True,
)
SCORE_DRIFT = Check(
    "score_drift", "The scores are distributed as on the days held out in training, and are not all the same."
)
NO_MODEL = "There is no champion yet, so there is nothing to compare with."


def champion_bundle(platform: Platform, name: str) -> Bundle | None:
    """The bundle of the version that serves; None before the first promotion.

    The pointer beside the bundles saves asking MLflow, whose import takes seconds that a step's process would pay.
    """
    version = champion_version(platform.registry.bundles_dir, name) or platform.registry.champion(name)
    return platform.registry.bundle(name, version) if version else None


def counted_features(
    engine: Engine, rows: Input, bundle: Bundle | None, returned: Collection[str]
) -> dict[str, Distribution] | None:
    """The features that the model knows and features.sql has `returned`, in one pass; None without a model."""
    if bundle is None:
        return None
    schema = rows.scan.schema()
    known = {n: r for n, r in bundle.profile.features.items() if n in returned and _fits(r, schema.field(n).type)}
    return _counted(engine, rows, known, pa.float32())


def counted_scores(engine: Engine, rows: Input, bundle: Bundle, columns: Sequence[str]) -> dict[str, Distribution]:
    """The scores in the bins of those of the held-out days."""
    known = {name: bundle.profile.score_quantiles[name] for name in columns}
    return _counted(engine, rows, known, pa.float64())


def check_null_rates(found: Mapping[str, Distribution] | None, thresholds: Checks) -> Verdict:
    """The feature whose null rate is farthest from its reference decides."""
    if not (rates := null_rates(found or {})):
        return NULL_RATES.verdict("pass", _nothing(found), measured=0, threshold=thresholds.null_warn)
    bad = [rate for rate in rates if rate.severity(thresholds) != "pass"]
    severity, top = worst(rate.severity(thresholds) for rate in rates), (bad or rates)[0]
    message = f"{top.column} is missing in {top.rate:.1%} of {top.rows:,} rows, in training in {top.reference:.1%}"
    message += (
        f"; {counted(len(bad) - 1, 'other feature')} differ{'s' if len(bad) == 2 else ''} as well."
        if len(bad) > 1
        else "."
    )
    return NULL_RATES.verdict(
        severity,
        message
        if bad
        else f"Features are missing about as often as in training. The farthest of {len(rates)}: {message}",
        measured=round(top.excess, 4),
        threshold=thresholds.null_error if severity == "error" else thresholds.null_warn,
        examples=[_null_row(rate) for rate in bad],
        numbers={"features": len(bad)},
    )


def check_feature_drift(
    found: Mapping[str, Distribution] | None, thresholds: Checks, *, pictured: bool = True
) -> Verdict:
    """The features that have drifted, with a picture of the farthest."""
    drifted = drifts(found or {}, thresholds.drift_alpha)
    if found is None or not drifted:
        return FEATURE_DRIFT.verdict("pass", _nothing(found), measured=0, threshold=thresholds.psi_warn)
    return _drift_verdict(FEATURE_DRIFT, drifted, found, thresholds, {}, pictured=pictured)


def check_score_drift(found: Mapping[str, Distribution], thresholds: Checks, *, pictured: bool = True) -> Verdict:
    """The scores; that they are all the same is an error, however few they are."""
    drifted = drifts(found, thresholds.drift_alpha)
    if not drifted:
        return SCORE_DRIFT.verdict("pass", "There are no scores.", measured=0, threshold=thresholds.psi_warn)
    constant = {drift.column: found[drift.column].smallest for drift in drifted if drift.constant}
    return _drift_verdict(SCORE_DRIFT, drifted, found, thresholds, constant, pictured=pictured)


def _drift_verdict(
    check: Check,
    drifted: Sequence[Drift],
    found: Mapping[str, Distribution],
    thresholds: Checks,
    constant: Mapping[str, float],
    *,
    pictured: bool,
) -> Verdict:
    bad = [d for d in drifted if d.column in constant or d.severity(thresholds) != "pass"]
    severity: Severity = "error" if constant else worst(drift.severity(thresholds) for drift in drifted)
    top = (bad or drifted)[0]
    error = severity == "error"
    message = f"{counted(len(drifted), 'column')} as in training; the farthest is {_described(top)}."
    if bad:
        message = f"{len(bad)} of {counted(len(drifted), 'column')} drifted, the farthest is {_described(top)}."
    if constant:
        message = "; ".join(f"every {name} is {value:g}" for name, value in constant.items()) + "."
    by_shift = severity == "warn" and top.excess < thresholds.psi_warn
    numbers = {"psi": round(top.psi, 4), "shift": round(top.shift, 3), "columns_drifted": len(bad)}
    verdict = check.verdict(
        severity,
        message,
        measured=round(top.excess_shift if by_shift else top.excess, 4),
        threshold=thresholds.shift_warn if by_shift else thresholds.psi_error if error else thresholds.psi_warn,
        examples=[_drift_row(drift) for drift in bad],
        numbers=numbers,
    )
    if not bad:
        return verdict.showing(farthest=table_of([_drift_row(drift) for drift in drifted[:EXAMPLES]]))
    if not pictured:
        return verdict
    png = drift_plot(found[top.column].reference, found[top.column].counts, top.column)
    return verdict.showing(reference_against_current=picture(png, top.column))


def _described(drift: Drift) -> str:
    moved = "" if not drift.shift else f", moved by {drift.shift:+.2f} standard deviations"
    habit = f"; single days of the training set reached {drift.wander.psi:.3f}" if drift.wander.psi > 0 else ""
    return f"{drift.column} (PSI {drift.psi:.3f}{moved}{habit})"


def _drift_row(drift: Drift) -> dict[str, Any]:
    return {
        "column": drift.column,
        "psi": round(drift.psi, 4),
        "shift_in_sd": round(drift.shift, 3),
        "p_value": drift.p if drift.p is None else float(f"{drift.p:.3g}"),
        "level": float(f"{drift.level:.3g}"),
        "largest_psi_of_a_training_day": round(drift.wander.psi, 4),
        "largest_shift_of_a_training_day": round(drift.wander.shift, 3),
    }


def _null_row(rate: NullRate) -> dict[str, Any]:
    return {
        "feature": rate.column,
        "missing": f"{rate.rate:.1%}",
        "in_training": f"{rate.reference:.1%}",
        "largest_difference_of_a_training_day": f"{rate.wander:.1%}",
    }


def _nothing(found: Mapping[str, Distribution] | None) -> str:
    return NO_MODEL if found is None else "There are no rows, or none of the model's features."


def _fits(reference: Numbers | Categories, dtype: pa.DataType) -> bool:
    """Whether a column is still of the kind that the model knows; scoring refuses what is not."""
    text = bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))
    return text == isinstance(reference, Categories)


def _counted(
    engine: Engine, rows: Input, known: Mapping[str, Numbers | Categories], dtype: pa.DataType
) -> dict[str, Distribution]:
    found = {name: Distribution(reference) for name, reference in known.items()}
    if found:
        for batch in engine.stream(Query(f"SELECT {', '.join(map(identifier, found))} FROM t", {"t": rows})):
            count_batch(found, batch, dtype)
    return found
