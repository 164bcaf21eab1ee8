"""A merge of `latest` beside a run that adds to the history."""

from __future__ import annotations

import pytest

from serving_assets.engines.protocol import Input
from serving_assets.pipeline.checks.latest import check_agrees_with_history
from serving_assets.pipeline.stages.historic import historic_columns
from serving_assets.pipeline.stages.latest import merge_latest, merged_history, plan_merge
from tests.pipeline.slice import DAY, Bench

pytestmark = pytest.mark.timeout(600)


def test_what_the_history_gains_during_a_merge_is_no_disagreement(bench: Bench) -> None:
    """The check holds `latest` against the history that was merged, not against what another run has added since."""
    assert bench.score().success
    p, columns = bench.platform, tuple(historic_columns(bench.use_case))
    historic, latest = (p.lake.table(bench.use_case.lake_name(name)) for name in ("historic", "latest"))
    merge = plan_merge(historic, latest, columns, expire_after_days=90)
    assert merge is not None
    assert bench.score().success  # the other run
    written = merge_latest(p, latest, merge, "household_id", columns)
    after = Input(latest.scan(version=written.version))

    history = Input(merged_history(historic, latest, written.version, merge.gained))
    verdict = check_agrees_with_history(p.engine, history, after, "household_id", ("score",), merge.expired)
    assert verdict.passed
    newer = Input(historic.scan({"scored_for": DAY}))
    assert not check_agrees_with_history(p.engine, newer, after, "household_id", ("score",), merge.expired).passed, (
        "the other run added nothing, so this proves nothing"
    )
