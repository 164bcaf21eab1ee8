"""Rules of trace: what it tells of a moment is what a reader got at that moment, and where it came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving_assets.errors import InputError
from serving_assets.pipeline.observing.prediction_provenance import trace
from serving_assets.pipeline.publishing.activation_log import standing
from serving_assets.pipeline.publishing.restore import restore
from serving_assets.store import Entity, read
from tests.pipeline.generations import Generations, now, published
from tests.pipeline.slice import DAY, Bench, copy_of

STEPS = st.lists(st.sampled_from(["publish", "one back", "to the first", "lose and restore"]), min_size=3, max_size=6)


@given(steps=STEPS)
@settings(max_examples=4, suppress_health_check=list(HealthCheck))
def test_trace_tells_what_readers_got(built: Bench, tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    """For any sequence of publishes, rollbacks and losses, trace says of each moment what a reader got then."""
    bench = copy_of(built, tmp_path_factory.mktemp("traced"))
    g = published(bench)
    entities: list[Entity] = [*list(g.documents[1])[:6], -1]
    reads = [_read(g, entities)]
    for variant, step in enumerate(steps, start=1):
        _act(g, step, variant)
        reads.append(_read(g, entities))
    for moment, generation, values in reads:
        for entity in entities:
            told = trace(bench.platform, bench.use_case, entity, moment)
            assert told.served is not None
            assert told.served.generation == generation
            assert (told.made.value | {"as_of": told.made.as_of} if told.made else None) == values[entity]


def test_boundaries_belong_to_what_begins(bench: Bench) -> None:
    """At the very moment of an activation the new generation counts, and a microsecond before it the old one."""
    g = published(bench, 1, 2)
    entity = next(iter(g.documents[3]))
    for before, entry in zip(g.log.entries(), g.log.entries()[1:], strict=False):
        at = datetime.fromisoformat(entry.at)
        for moment, generation in ((at, entry.generation), (at - timedelta(microseconds=1), before.generation)):
            told = trace(bench.platform, bench.use_case, entity, moment)
            assert told.served is not None
            assert told.served.generation == generation.number
    assert told.served.until == entry.at


def test_the_feature_row_is_the_one_that_was_scored(bench: Bench) -> None:
    """Trace shows the feature row as the scoring saw it, however often the day's features were made again since."""
    entity = bench.rows("latest")[0]["household_id"]
    assert isinstance(entity, int)
    (scored,) = bench.rows("features", where=f"household_id = {entity}")
    name = bench.use_case.lake_name("features")
    bench.rewrite(name, "SELECT * REPLACE (spend_91d + 1 AS spend_91d) FROM t", {"day": DAY})
    told = trace(bench.platform, bench.use_case, entity, now())
    assert told.features == scored
    assert told.made is not None
    (row,) = bench.rows("historic", where=f"household_id = {entity}")
    assert (told.made.run_id, told.made.scored_at) == (row["run_id"], row["scored_at"])
    assert told.made.features_version == 0
    assert told.features_message == "purchase_propensity/features at version 0, day 2017-05-31"


def test_a_pin_does_not_divide_the_time(bench: Bench) -> None:
    """A generation that was pinned and resumed is told as one stretch, with who brought it back and why."""
    g = published(bench, 1, 2)
    g.roll_back(reason="bad")
    g.resume()
    told = trace(bench.platform, bench.use_case, next(iter(g.documents[2])), now()).served
    assert told is not None
    assert (told.generation, told.kind, told.by, told.reason, told.until) == (2, "rollback", "somebody", "bad", None)


def test_nothing_was_served(bench: Bench) -> None:
    """Before the first publish, and of an entity that a generation lacks, trace says why nothing was served."""
    g = published(bench)
    early = trace(bench.platform, bench.use_case, 4, datetime(2017, 6, 1, tzinfo=UTC))
    assert early.message.startswith("Nothing was served: the first generation became active at 20")
    assert (early.served, early.made) == (None, None)
    unknown = trace(bench.platform, bench.use_case, -1, now())
    assert unknown.message == f"Nothing was served: generation {g.active} has no household_id -1."
    with pytest.raises(InputError, match="lies in the future"):
        trace(bench.platform, bench.use_case, 4, now() + timedelta(days=1))


@pytest.mark.parametrize("gone", ["latest", "features"])
def test_what_history_has_given_up_is_said(bench: Bench, gone: str) -> None:
    """When the rows behind an answer have been removed from the lake, trace says which, and still what it knows."""
    g = published(bench, 1)
    moment = datetime.fromisoformat(g.log.entries()[0].at)
    entity = next(iter(g.documents[1]))
    for file in bench.platform.lake.table(bench.use_case.lake_name(gone)).scan(version=0).files():
        (bench.settings.data_dir / "lake" / bench.use_case.lake_name(gone) / file.path).unlink()
    told = trace(bench.platform, bench.use_case, entity, moment)
    assert told.served is not None
    assert told.served.generation == 1
    assert "gone from the lake's history" in (told.message if gone == "latest" else told.features_message)
    assert (told.made is None) is (gone == "latest")
    assert told.features is None


def _act(g: Generations, step: str, variant: int) -> None:
    p = g.bench.platform
    if step == "publish":
        g.resume()
        g.publish(variant)
    elif step == "lose and restore":
        documents = g.documents[g.active]
        g.lose_the_store()
        g.documents[restore(p, g.collection, "somebody", g.bench.runs).generation] = documents
    elif step == "to the first":
        g.roll_back(1)
    elif len(standing(g.log.entries())) > 1:
        g.resume()
        g.roll_back()
    g.assert_sound()


def _read(g: Generations, entities: list[Entity]) -> tuple[datetime, int, dict[Entity, dict[str, object] | None]]:
    """A moment, the active generation, and what a reader got then."""
    reading = read(g.bench.platform.store, g.collection.name, entities)
    assert reading.control is not None
    assert reading.control.active is not None
    found = zip(entities, reading.values, strict=True)
    got = {entity: one.value | {"as_of": one.as_of} if one else None for entity, one in found}
    return now(), reading.control.active, got
