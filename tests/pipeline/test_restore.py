"""Rules of a store that lost what it held: readers are told, numbers go on, and the lake brings it back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from serving_assets.commands.show import look_up
from serving_assets.errors import InputError
from serving_assets.pipeline.observing.status import gather
from serving_assets.pipeline.publishing.published_documents import features_of
from serving_assets.pipeline.publishing.restore import restore, restore_all
from serving_assets.pipeline.publishing.rollback import resume
from serving_assets.store import DocumentChange, StoreError, scan
from tests.pipeline.generations import Generations, done_by_a_process, published
from tests.pipeline.slice import NAME, Bench

pytestmark = pytest.mark.long


def test_a_lost_store_is_unavailable_not_empty(bench: Bench) -> None:
    """While the store has lost a use case, a look-up and the status say so, with the command that brings it back."""
    g = published(bench, 1)
    g.lose_the_store()
    workspace: Any = SimpleNamespace(
        catalog=bench.catalog, platform=bench.platform, instance=bench.instance, defs=bench.defs
    )
    with pytest.raises(StoreError, match=r"lost generation 2, active since 20.*serving-assets restore purchase_propen"):
        look_up(workspace, NAME, ["4"])
    with pytest.raises(StoreError, match="lost generation 2"):
        g.roll_back()
    with pytest.raises(StoreError, match="lost generation 2"):
        resume(bench.platform, g.collection, "somebody", bench.runs)
    online = gather(bench.instance, bench.platform, bench.defs, bench.use_case)["online"]["online"]
    assert (online["lost"], online["generation"], online["one_write_rollback_to"]) == (True, 2, None)


def test_restore_brings_back_what_was_active(bench: Bench) -> None:
    """The active generation's documents come back under a number never used, and a second restore changes nothing."""
    g = published(bench, 1, 2)
    wanted = g.documents[3]
    g.lose_the_store()
    told = restore(bench.platform, g.collection, "somebody", bench.runs)
    assert (told.was, told.parity.equal, told.pinned) == (3, True, False)
    assert told.generation > 3
    assert bench.documents() == wanted
    again = restore(bench.platform, g.collection, "somebody", bench.runs)
    assert (again.why, again.generation) == (None, told.generation)
    g.documents[told.generation] = wanted
    assert g.publish(3) == told.generation + 1
    g.assert_sound()
    assert g.roll_back().documents_of == 3
    g.assert_sound()


@pytest.mark.parametrize("resumed", [False, True])
def test_a_pin_outlives_the_store(bench: Bench, resumed: bool) -> None:
    """What was pinned is pinned after a restore too, by whom it was and why; what was resumed is not."""
    g = published(bench, 1, 2)
    g.roll_back(reason="bad")
    pin = g.control.pinned
    if resumed:
        g.resume()
    g.lose_the_store()
    told = restore(bench.platform, g.collection, "somebody else", bench.runs)
    assert told.pinned is not resumed
    assert bench.documents() == g.documents[2]
    found = g.control.pinned
    assert (found is None) is resumed
    if found and pin:
        assert (found.by, found.reason) == (pin.by, pin.reason)


def test_the_nightly_run_does_not_start_over(bench: Bench) -> None:
    """On a store that came back empty, the nightly run publishes the newest under a number that goes on."""
    g = published(bench, 1, 2)
    g.lose_the_store()
    assert bench.run("online", day=None).success
    assert g.active > 3
    assert bench.documents() == g.documents[3]
    entry = g.log.entries()[-1]
    assert (entry.kind, entry.reason) == ("publish", "the store had lost generation 3")


def test_the_nightly_run_brings_back_what_was_pinned(bench: Bench) -> None:
    """On a store that came back empty while pinned, the nightly run restores the pinned generation, not the newest."""
    g = published(bench, 1, 2)
    g.roll_back(reason="bad")
    g.lose_the_store()
    nightly = bench.run("online", day=None)
    assert nightly.success
    assert "because: bad" in nightly.warnings[0]
    assert g.active > 3
    assert bench.documents() == g.documents[2]


def _older(g: Generations) -> None:
    """The store comes back from a backup that was made two generations ago."""
    g.bench.platform.store.close()
    data = g.bench.settings.data_dir
    g.lose_the_store()
    shutil.copy(data / "backup", data / "online.db")


def _damaged(g: Generations) -> None:
    """A document was removed and another changed, by whoever had access."""
    store, control = g.bench.platform.store, g.control
    one, two = list(g.documents[g.active])[:2]
    store.upsert(
        NAME, control.taken, None, (), [DocumentChange(one, None, None), DocumentChange(two, None, '{"v":{"score":7}}')]
    )


@pytest.mark.parametrize("harm", [_older, _damaged])
def test_restore_mends_what_is_there_but_wrong(bench: Bench, harm: Callable[[Generations], None]) -> None:
    """A store from a backup, and one with documents lost or changed, hold afterwards what was last active."""
    g = published(bench)
    g.bench.platform.store.close()
    shutil.copy(bench.settings.data_dir / "online.db", bench.settings.data_dir / "backup")
    g.publish(1)
    g.publish(2)
    harm(g)
    assert bench.documents() != g.documents[3]
    told = restore(bench.platform, g.collection, "somebody", bench.runs)
    assert told.why
    assert told.parity.equal
    assert told.generation > 3
    assert bench.documents() == g.documents[3]


def test_the_nightly_run_goes_on_from_a_backup(bench: Bench) -> None:
    """A store restored from a backup by its own means gets the newest by the nightly run, numbers going on."""
    g = published(bench)
    g.bench.platform.store.close()
    shutil.copy(bench.settings.data_dir / "online.db", bench.settings.data_dir / "backup")
    g.publish(1)
    g.publish(2)
    _older(g)
    assert bench.run("online", day=None).success
    assert g.active > 3
    assert bench.documents() == g.documents[3]


@pytest.mark.parametrize("kill", ["store.publish.mid_write", "store.publish.after_flip"])
def test_a_killed_restore_is_repeated(bench: Bench, kill: str) -> None:
    """Killed, a restore shows nothing or all; repeated, it ends as if undisturbed."""
    g = published(bench, 1, 2)
    g.lose_the_store()
    assert done_by_a_process(bench.root, "restore", kill) is not None
    assert bench.documents() in ({}, g.documents[3])
    assert done_by_a_process(bench.root, "restore") == 0
    g.documents[g.active] = g.documents[3]
    g.assert_sound()


def test_all_that_was_published_is_restored(bench: Bench) -> None:
    """Restoring a use case brings back its online features with its predictions."""
    assert bench.run("online_features", day=None).success
    collection = features_of(bench.use_case)
    assert collection is not None
    before = dict(scan(bench.platform.store, collection.name))
    g = published(bench)
    g.lose_the_store()
    told = restore_all(bench.platform, bench.use_case, "somebody", bench.runs)
    assert [one.parity.equal for one in told] == [True, True]
    assert bench.documents() == g.documents[1]
    assert dict(scan(bench.platform.store, collection.name)) == before


def test_what_cannot_be_restored_is_said(bench: Bench) -> None:
    """Nothing published, and a snapshot that the lake has given up, are told with what to do instead."""
    g = published(bench, 1)
    latest = bench.platform.lake.table(g.collection.table)
    for file in latest.scan(version=1).files():
        (bench.settings.data_dir / "lake" / g.collection.table / file.path).unlink()
    g.lose_the_store()
    with pytest.raises(InputError, match=r"cannot be restored.*materialize purchase_propensity/online"):
        restore(bench.platform, g.collection, "somebody", bench.runs)
    shutil.rmtree(bench.settings.data_dir / "lake" / g.collection.publications)
    with pytest.raises(InputError, match="ever published"):
        restore(bench.platform, g.collection, "somebody", bench.runs)
