"""The commands of whoever is called at night, as they are typed: what they print, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from serving_assets.cli import app
from serving_assets.settings import get_settings
from tests.pipeline.generations import published
from tests.pipeline.slice import DAY, NAME, Bench

Typed = Callable[..., Result]


def next_day() -> float:
    """The clock of a reader on the day after the slice's newest one, seconds since the epoch."""
    return datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC).timestamp()


@pytest.fixture
def typed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    """Types a command in the workspace; lines are not wrapped."""
    monkeypatch.setenv("DATA_DIR", str(bench.settings.data_dir))
    monkeypatch.setenv("DAGSTER_HOME", str(bench.root / "dagster"))
    get_settings.cache_clear()
    yield lambda *words: CliRunner().invoke(app, list(words))
    get_settings.cache_clear()


def test_a_night_on_call(bench: Bench, typed: Typed) -> None:
    """Roll back, look, trace, resume: each command says what it did and what comes next; status shows the pin."""
    g = published(bench)
    assert bench.score(DAY - timedelta(days=9)).success
    assert bench.publish().success
    newest = bench.documents()
    entity = str(next(iter(g.documents[1])))

    told = typed("rollback", NAME, "--reason", "scores are all [one]")
    assert told.exit_code == 0
    assert "generation 2 -> 1, one write in" in told.output
    assert "because generation 1 is the previous one" in told.output
    assert "scores are all [one]" in told.output
    assert "serving-assets resume purchase_propensity" in told.output

    status = typed("status", NAME)
    assert "pinned since" in status.output
    assert "nothing new until: serving-assets resume purchase_propensity" in status.output
    assert "there is no older generation to roll back to" in status.output
    (state,) = json.loads(typed("status", NAME, "--json").output)
    online = state["online"]["online"]
    assert (online["generation"], online["previous"], online["one_write_rollback_to"]) == (1, None, None)
    assert online["pinned"]["reason"] == "scores are all [one]"

    assert "Generation 1 was served." in typed("trace", NAME, entity).output
    traced = json.loads(typed("trace", NAME, entity, "--json").output)
    assert traced["served"]["kind"] == "rollback"

    resumed = typed("resume", NAME, "--publish")
    assert resumed.exit_code == 0
    assert "no longer pinned" in resumed.output
    assert "Readers get generation 3, the newest predictions." in resumed.output
    assert bench.documents() == newest
    assert "was not pinned" in typed("resume", NAME).output
    assert "a rollback leads back in one write to generation 1" in typed("status", NAME).output


def test_a_store_out_of_reach_on_call(bench: Bench, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page reports why it is unknown what readers get, and all the rest."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://me:pa55word@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    get_settings.cache_clear()
    status = typed("status", NAME)
    assert status.exit_code == 1
    assert "predictions unknown: MongoDB at 127.0.0.1:1 is out of reach" in status.output
    assert "pa55word" not in status.output
    assert f"{NAME}/historic" in status.output


def test_a_lost_store_on_call(bench: Bench, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up in a lost store fails with the command to type, and that command brings everything back."""
    monkeypatch.setattr("serving_assets.commands.show.time", SimpleNamespace(time=next_day))
    g = published(bench, 1)
    entity = str(next(iter(g.documents[2])))
    g.lose_the_store()
    shown = typed("show", NAME, entity)
    assert shown.exit_code == 1
    assert "unavailable: the store has lost generation 2" in shown.output
    assert "serving-assets restore purchase_propensity" in shown.output
    status = typed("status", NAME)
    assert status.exit_code == 1
    assert "the store has lost generation 2" in status.output
    restored = typed("restore", NAME)
    assert restored.exit_code == 0
    assert "the same in store and lake" in restored.output
    assert typed("show", NAME, entity).exit_code == 0
    assert "nothing is missing" in typed("restore", NAME).output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rollback", NAME, "--to", "1", "--to-date", "2017-05-01"), 2, "either --to or --to-date"),
        (("rollback", NAME, "--to", "8"), 1, "no generation 8"),
        (("rollback", NAME), 1, "nothing before generation 1"),
        (("rollback", "no_such"), 1, "No use case 'no_such'"),
        (("trace", NAME, "four"), 1, "is not a household_id"),
        (("trace", NAME, "4", "--at", "yesterday"), 1, "'yesterday' is no moment"),
        (("trace", NAME, "4", "--at", "2017-05-01"), 1, "Nothing was served"),
    ],
)
def test_a_wrong_call_is_told(typed: Typed, words: tuple[str, ...], code: int, said: str) -> None:
    """What cannot be done exits with what is wrong, and changes nothing."""
    told = typed(*words)
    assert told.exit_code == code
    assert said in told.output
