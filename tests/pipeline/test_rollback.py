"""Rules of rollback and resume: which documents readers get, what stays pinned, and what a kill leaves."""

from __future__ import annotations

from datetime import date, timedelta
from signal import SIGKILL

import dagster as dg
import pytest

from serving_assets.errors import ConflictError, InputError
from serving_assets.failpoints import FAILPOINTS
from serving_assets.pipeline.publishing.rollback import RollbackRequest, roll_back
from serving_assets.store import Cause, DocumentChange, Publication
from tests.pipeline.generations import ACTS, Generations, done_by_a_process, now, published
from tests.pipeline.slice import DAY, NAME, Bench

pytestmark = pytest.mark.long

KILLS = {
    "roll back one": ["rollback.before_write", "rollback.after_write"],
    "roll back to 1": [
        *("rollback.before_write", "rollback.after_write", "store.publish.after_begin", "store.publish.mid_write"),
        *("store.publish.before_verify", "store.publish.before_flip", "store.publish.after_flip"),
        "online.before_publication_row",
    ],
    "resume": ["resume.after_write"],
}


def test_ten_generations_with_rollbacks_between(bench: Bench) -> None:
    """After each publish and rollback, near or far, readers get that generation's documents, as the lake says."""
    g = published(bench)
    far, near = [], []
    for variant in range(1, 11):
        g.publish(variant)
        g.assert_sound()
        if variant % 3 == 0:
            near.append(g.roll_back().how)
            g.assert_sound()
        if variant % 4 == 0:
            told = g.roll_back(to=variant // 2)
            far.append(told.how)
            assert told.documents_of == variant // 2
            g.assert_sound()
        g.resume()
    assert len(g.documents) >= 12
    assert set(near) == {"one write"}
    assert set(far) == {"republished"}


@pytest.mark.parametrize("to", [None, 2])
def test_one_write_and_republish_give_the_same_documents(bench: Bench, to: int | None) -> None:
    """Both ways back lead to the documents that the older generation had, entity by entity."""
    g = published(bench, 1, 2)
    if to:  # a publish that stopped half-way takes the short way back
        dead = Publication.begin(bench.platform.store, NAME, writer="a run", lease_seconds=0)
        dead.write([DocumentChange(entity, text, None) for entity, text in list(g.documents[3].items())[:50]])
    told = g.roll_back(to)
    assert (told.how, told.documents_of, told.equal) == ("republished" if to else "one write", 2, True)
    assert "half-way" in told.why if to else "previous" in told.why
    assert bench.documents() == g.documents[2]


def test_each_step_goes_one_further_back(bench: Bench) -> None:
    """After a resume, the next rollback leads past what was rolled back from, whatever its number."""
    g = published(bench, 1, 2)
    assert g.roll_back(to=1).documents_of == 1
    g.resume()
    g.publish(3)
    assert g.roll_back().documents_of == 1
    g.resume()
    with pytest.raises(InputError, match="nothing before"):
        g.roll_back()


def test_a_second_rollback_without_a_target_does_nothing(bench: Bench) -> None:
    """Two people at night, or a repetition after a kill, do not go back twice."""
    g = published(bench, 1, 2)
    assert g.roll_back().generation == 2
    told = g.roll_back()
    assert (told.how, told.generation) == ("nothing to do", 2)
    assert g.roll_back(to=2).how == "nothing to do"
    assert g.roll_back(to=3).documents_of == 3
    g.assert_sound()


def test_a_day_means_what_readers_got_at_its_end(bench: Bench) -> None:
    """A rollback to a day leads to what was active when the day ended, and refuses days before the first publish."""
    g = published(bench, 1)
    today = now().date()
    request = RollbackRequest("somebody", to_date=today + timedelta(days=1))
    assert roll_back(bench.platform, g.collection, request, bench.runs).how == "pinned as it is"
    with pytest.raises(InputError, match="Nothing of purchase_propensity was published by the end of 2017-01-01"):
        roll_back(bench.platform, g.collection, RollbackRequest("somebody", to_date=date(2017, 1, 1)), bench.runs)


@pytest.mark.parametrize(
    ("to", "said"), [(7, "no generation 7.*newest first: 3, 2, 1"), (1, "cannot.*These can: 3, 2")]
)
def test_what_cannot_be_brought_back_is_said(bench: Bench, to: int, said: str) -> None:
    """An unknown generation, and one whose snapshot the lake has given up, are refused with those that there are."""
    g = published(bench, 1, 2)
    for file in bench.platform.lake.table(g.collection.table).scan(version=0).files():
        (bench.settings.data_dir / "lake" / g.collection.table / file.path).unlink()
    with pytest.raises(InputError, match=said):
        g.roll_back(to)
    assert g.control.pinned is None
    g.assert_sound()


def test_the_nightly_run_leaves_alone_what_is_pinned(bench: Bench) -> None:
    """A pinned use case gets nothing new by the nightly run, which succeeds and warns; after resume it does."""
    g = published(bench, 1, 2)
    g.roll_back(reason="scores are all one")
    nightly = bench.run("online", day=None)
    assert nightly.success
    assert nightly.made[0].numbers["pinned"] is True
    (warning,) = nightly.warnings
    assert "Pinned at generation 2" in warning
    assert "somebody, because: scores are all one" in warning
    assert "serving-assets resume purchase_propensity" in warning
    assert bench.verdict(bench.asset("online"), "store_parity").passed
    assert bench.documents() == g.documents[2]
    g.resume()
    assert bench.run("online", day=None).warnings == ()
    assert bench.documents() == g.documents[3]


@pytest.mark.parametrize("act", ["roll back one", "resume", "restore"])
def test_a_dead_run_is_not_waited_for(bench: Bench, act: str) -> None:
    """The lease of a publish whose run is over is in nobody's way, that of one that runs is told with its holder."""
    g = published(bench, 1, 2)
    if act == "resume":
        g.roll_back()
    wanted = g.documents[3 if act == "restore" else 2]
    if act == "restore":
        g.lose_the_store()
    dead, living = _run(bench, dg.DagsterRunStatus.FAILURE), _run(bench, dg.DagsterRunStatus.STARTED)
    cause = Cause("restore", pin=g.control.pinned if act == "resume" else None)
    for run in (living, dead):
        held = Publication.begin(bench.platform.store, NAME, writer=run, cause=cause)
        if run == living:
            with pytest.raises(ConflictError, match=living):
                ACTS[act](g)
            held.abandon()
    ACTS[act](g)
    assert bench.documents() == wanted
    assert g.control.lease is None


def _run(bench: Bench, status: dg.DagsterRunStatus) -> str:
    """A run that Dagster knows with this status."""
    job = bench.defs.resolve_job_def("housekeeping")
    return bench.instance.create_run_for_job(job, status=status).run_id


def test_the_log_tells_who_and_why(bench: Bench) -> None:
    """The lake keeps one row for each time a generation became active, was pinned anew, or let go."""
    g = published(bench, 1, 2)
    g.roll_back(reason="bad")
    g.roll_back(to=1, reason="worse")
    g.resume()
    told = [(e.generation.number, e.generation.repeats, e.kind, e.reason) for e in g.log.entries()]
    assert told == [
        *((1, None, "publish", ""), (2, None, "publish", ""), (3, None, "publish", "")),
        *((2, None, "rollback", "bad"), (4, 1, "rollback", "worse"), (4, 1, "resume", "")),
    ]


def test_every_failpoint_of_a_rollback_has_a_kill() -> None:
    """No failpoint of rollback and resume stays untested."""
    names = {name for name in FAILPOINTS if name.startswith(("rollback.", "resume."))}
    assert names <= {kill for kills in KILLS.values() for kill in kills}


@pytest.mark.parametrize(("act", "kill"), [(act, kill) for act, kills in KILLS.items() for kill in kills])
def test_a_killed_rollback_harms_nobody(bench: Bench, act: str, kill: str) -> None:
    """Killed anywhere, it leaves readers one whole generation; repeated, it ends as if undisturbed, each entry once."""
    g = published(bench, 1, 2)
    if act == "resume":
        g.roll_back()
    wanted = {"roll back one": 2, "roll back to 1": 1, "resume": 2}[act]
    assert done_by_a_process(bench.root, act, kill) == -SIGKILL
    assert bench.documents() in (g.documents[3], g.documents[wanted])

    assert done_by_a_process(bench.root, act) == 0
    g.documents[g.active] = g.documents[wanted]
    g.assert_sound()
    assert bool(g.control.pinned) is (act != "resume")
    entries = [(entry.generation.number, entry.kind) for entry in g.log.entries()]
    assert len(entries) == len(set(entries))
    assert entries[-1][1] == ("resume" if act == "resume" else "rollback")
    if act == "resume":
        g.publish(3)
        g.assert_sound()


def test_what_two_killed_runs_left_is_recorded_by_the_next(bench: Bench) -> None:
    """Generations whose runs died between flip and entry are entered by whoever publishes or goes back next."""
    g = published(bench)
    for variant in (1, 2):
        g.put(variant)
        assert done_by_a_process(bench.root, "publish", "online.before_publication_row") == -SIGKILL
    assert [entry.generation.number for entry in g.log.entries()] == [1, 2]
    assert done_by_a_process(bench.root, "roll back one") == 0
    told = [(entry.generation.number, entry.kind) for entry in g.log.entries()]
    assert told == [(1, "publish"), (2, "publish"), (3, "publish"), (2, "rollback")]


def test_the_jobs_do_what_the_commands_do(bench: Bench) -> None:
    """In the UI, the jobs roll back, resume and restore with the same effect, and leave an observation on the asset."""
    g = published(bench, 1, 2)
    _run_job(bench, "rollback", {"to": 1, "reason": "seen in the UI", "by": "somebody"})
    assert g.control.pinned is not None
    assert (g.control.pinned.by, g.control.pinned.reason) == ("somebody", "seen in the UI")
    assert bench.documents() == g.documents[1]
    _run_job(bench, "resume", {})
    assert g.control.pinned is None
    g.lose_the_store()
    _run_job(bench, "restore", {})
    assert bench.documents() == g.documents[1]
    records = bench.instance.fetch_observations(bench.asset("online"), limit=10).records
    assert len(records) == 3


def test_backfills_out_of_order_with_a_rollback_between(bench: Bench) -> None:
    """Days scored in any order, with rollbacks between, end in what the newest of all predictions say."""
    g = Generations(bench)
    for back, wanted in ((9, None), (3, 1), (6, None)):
        assert bench.score(DAY - timedelta(days=back)).success
        assert bench.publish().success
        assert bench.verdict(bench.asset("online"), "store_parity").passed
        if wanted:
            roll_back(bench.platform, g.collection, RollbackRequest("somebody", wanted), bench.runs)
            assert bench.run("online", day=None).success
            assert bench.verdict(bench.asset("online"), "store_parity").passed
            g.resume()
    newest = {row["household_id"]: row["scored_for"] for row in bench.rows("latest")}
    assert newest.keys() == bench.documents().keys()
    assert set(newest.values()) > {DAY}


def _run_job(bench: Bench, name: str, config: dict[str, object]) -> None:
    request = {"ops": {f"{name}_predictions": {"config": {"use_case": NAME, **config}}}}
    job: dg.JobDefinition = bench.defs.resolve_job_def(name)
    result = job.execute_in_process(instance=bench.instance, run_config=request, raise_on_error=False)
    assert result.success
