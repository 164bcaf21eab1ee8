"""Rules of the check that reads documents back: what an earlier version recorded still counts.

Not here: altered documents (test_monitoring.py), or the rule of two runs (tests/unit/monitoring/test_quality.py).
"""

from __future__ import annotations

import dagster as dg

from serving_assets.pipeline.checks.read_back import FORMER_NAME, READ_BACK, missed_before

ASSET = dg.AssetKey(["churn", "online"])


def test_a_miss_under_the_former_name_counts() -> None:
    """After an upgrade the second miss in a row is an error, and newer evaluations come before older ones."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert list(missed_before(instance, ASSET)) == []
        for name, passed in ((FORMER_NAME, False), (READ_BACK.name, True)):
            evaluation = dg.AssetCheckEvaluation(
                asset_key=ASSET, check_name=name, passed=passed, metadata={}, severity=dg.AssetCheckSeverity.WARN
            )
            instance.report_runless_asset_event(evaluation)
            assert next(missed_before(instance, ASSET)) is not passed
