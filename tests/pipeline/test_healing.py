"""What somebody did to the tables, or to the declaration, is taken in by the next run without a person's help.

Not here: damage that a check must report first (test_gates.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from tests.pipeline.slice import DAY, NAME, Bench


def rounded(bench: Bench, precision: int) -> Bench:
    """The workspace that publishes another number of decimals."""
    bound = bench.use_case
    predictions = bound.spec.predictions.model_copy(update={"precision": precision})
    spec = bound.spec.model_copy(update={"predictions": predictions})
    return bench.with_catalog(replace(bench.catalog, use_cases={NAME: replace(bound, spec=spec)}))


@pytest.mark.parametrize("precision", [2, 6])
def test_another_precision_is_published_by_the_next_run(bench: Bench, precision: int) -> None:
    """A changed precision makes every document anew, although the lake alone cannot tell what was published."""
    changed = rounded(bench, precision)
    for _ in range(2):
        assert changed.publish().success
        found = {entity: json.loads(text)["v"]["score"] for entity, text in changed.documents().items()}
        scores = {row["household_id"]: row["score"] for row in changed.rows("latest", "household_id, score")}
        assert found == {entity: pytest.approx(score, abs=0.5 * 10**-precision) for entity, score in scores.items()}
        assert max(len(str(score)) for score in found.values()) == 2 + precision


def test_latest_that_somebody_else_wrote_is_made_anew_from_the_history(bench: Bench) -> None:
    """A commit to latest that no merge made is not trusted: the table is built from the history again."""
    before = bench.rows("latest")
    bench.rewrite(f"{NAME}/latest", "SELECT * REPLACE (score / 2 AS score) FROM t WHERE household_id % 8 = 0")
    assert bench.publish().success
    assert bench.rows("latest") == before


def test_a_commit_without_rows_changes_nothing(bench: Bench) -> None:
    """A new version of the history that brings no file, such as a vacuum's, leaves latest and the store alone."""
    before, documents = bench.rows("latest"), bench.documents()
    bench.rewrite(f"{NAME}/historic", "FROM t LIMIT 0", {"scored_for": date(2017, 1, 1)})
    outcome = bench.publish()
    assert outcome.success
    assert {made.asset: made.numbers.get("unchanged") for made in outcome.made}[f"{NAME}/latest"] is True
    assert (bench.rows("latest"), bench.documents()) == (before, documents)


def test_a_compacted_history_gives_the_same_latest(bench: Bench) -> None:
    """Files of the history rewritten with the same rows, as a compaction does, leave the same latest."""
    assert bench.score(date(2017, 5, 1)).success
    assert bench.publish().success
    before = bench.rows("latest")
    bench.rewrite(f"{NAME}/historic", "FROM t", {"scored_for": DAY})
    assert bench.publish().success
    assert bench.rows("latest") == before
