"""Rules of an erasure outside lake and store: the API's prediction log, and Dagster's event log."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from serving_assets.catalog.serve import LOG_FOLDER
from serving_assets.errors import ServingAssetsError
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.erase_person import erase
from tests.pipeline.persons import KEY, left, person_of
from tests.pipeline.slice import NAME, Bench
from tests.pipeline.spoiling import alter_documents


def test_answers_that_the_api_noted_go_too(bench: Bench) -> None:
    """Of the prediction log goes what names the person; a file that the API still writes is told until it is done."""
    person, other = person_of(bench), next(iter(bench.documents()))
    day = bench.settings.landing / LOG_FOLDER / "dt=2026-01-01"
    day.mkdir(parents=True)
    head = {"request_id": "r", "use_case": NAME}
    single, others = {**head, "entity_id": person}, {**head, "items": [{"entity_id": other}]}
    foreign = {**single, "use_case": "about_baskets"}
    bench.platform.lake.table("about_baskets/latest").replace(pa.table({"basket_id": [person]}).to_reader())
    gone = {**single, "use_case": "removed_long_ago"}
    both = {**head, "items": [{"entity_id": other}, {"entity_id": person}]}
    lines = [json.dumps(answer) + "\n" for answer in (single, foreign, both, others, gone)]
    (day / "host-1-1.ndjson").write_text("".join(lines) + '{"use_case": "cut sh')
    (day / ".host-1-2.ndjson.part").write_text(lines[0] + lines[0][:20])

    request = erasure_register.ask(bench.platform, KEY, person)
    with pytest.raises(ServingAssetsError, match=f"complete: 1 answers of {LOG_FOLDER}.*within five minutes"):
        erase(bench.platform, bench.instance, [request])
    assert [(found.what, found.count) for found in left(bench, request)] == [("answers", 1)]
    (day / ".host-1-2.ndjson.part").rename(day / "host-1-2.ndjson")
    (receipt,) = erase(bench.platform, bench.instance, [request])
    assert receipt.removed[LOG_FOLDER] == 4
    assert left(bench, request) == []
    kept = [json.loads(line) for line in (day / "host-1-1.ndjson").read_text().splitlines()]
    assert kept == [foreign, others, others]
    assert sorted(path.name for path in day.iterdir()) == ["host-1-1.ndjson", "host-1-2.ndjson"]


@pytest.mark.parametrize("most", [10, 0])
def test_whether_rows_reach_the_event_log_is_a_setting(bench: Bench, most: int) -> None:
    """A failed check shows offending rows, which Dagster keeps, unless the setting keeps them out."""
    bench.__dict__["settings"] = bench.settings.model_copy(update={"check_examples": most})
    alter_documents(bench)
    bench.run("online", day=None)
    verdict = bench.verdict(bench.asset("online"), "store_parity")
    assert not verdict.passed
    assert ("examples" in verdict.metadata) is bool(most)
