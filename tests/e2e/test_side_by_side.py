"""Two processes at the same work at the same time, as a person and a schedule are at night.

Here: whole commands beside each other. Not here: writers that race inside one table or store (tests/unit/lake,
tests/store).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.command import run
from tests.pipeline.slice import DAY, NAME, Bench

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


def test_two_backfills_of_one_day_end_like_one(bench: Bench) -> None:
    """Of two backfills of the same day side by side none leaves a row twice or a mix; who gives way says why."""
    assert bench.publish().success
    alone = bench.documents()
    backfill = ("backfill", "--use-case", NAME, "--from", str(DAY), "--to", str(DAY), "--json")
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: run(bench, *backfill), range(2)))
    assert all("Traceback" not in done.stderr for done in both), both
    assert 0 in [done.returncode for done in both], both
    assert all("anew" in done.stdout or "again" in done.stdout for done in both if done.returncode), both

    again = run(bench, *backfill)
    assert again.returncode == 0, again.stdout
    for stage, day in (("features", "day"), ("predictions", "day"), ("latest", "scored_for")):
        scored = [row["household_id"] for row in bench.rows(stage, "household_id", f"{day} = '{DAY}'")]
        assert scored == sorted(set(scored)), stage
    assert bench.documents() == alone
