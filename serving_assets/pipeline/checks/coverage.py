"""Coverage: everyone who should be scored is.

Here: the declared population against what came out. Not here: whether a score is sane (contract.py).
"""

from __future__ import annotations

from serving_assets.catalog.checks import Checks
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.pipeline.checks.verdict import Check, Verdict

COVERAGE = Check("coverage", "Every entity of the declared population has a prediction.")


def check_coverage(engine: Engine, population: Input, predictions: Input, key: str, thresholds: Checks) -> Verdict:
    """The share of distinct entities of `population` that stand in `predictions`."""
    inputs = {"population": population, "predictions": predictions}
    due = f'SELECT DISTINCT "{key}" FROM population WHERE "{key}" IS NOT NULL'
    missing = f'SELECT * FROM ({due}) ANTI JOIN predictions USING ("{key}")'
    scored = f'SELECT DISTINCT "{key}" AS scored FROM predictions'
    sql = (
        "SELECT count(*) AS due, count(*) FILTER (scored IS NULL) AS missing "
        f'FROM ({due}) AS d LEFT JOIN ({scored}) AS s ON d."{key}" = s.scored'
    )
    found = engine.collect(Query(sql, inputs)).to_pylist()[0]
    due, absent = found["due"], found["missing"]
    share = (due - absent) / due if due else 0.0
    message = f"{due - absent:,} of {due:,} entities are scored ({share:.2%})."
    if share >= thresholds.coverage_warn:
        return COVERAGE.verdict("pass", message, measured=share, threshold=thresholds.coverage_warn)
    examples = engine.collect(Query(f"{missing} ORDER BY 1 LIMIT 10", inputs)).to_pylist()
    if share >= thresholds.coverage_error:
        return COVERAGE.verdict("warn", message, measured=share, threshold=thresholds.coverage_warn, examples=examples)
    return COVERAGE.verdict("error", message, measured=share, threshold=thresholds.coverage_error, examples=examples)
