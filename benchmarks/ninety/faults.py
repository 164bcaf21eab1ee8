"""The faults that are injected: what goes wrong, how it is fixed, and which assets it can spoil.

Here: the kinds. Not here: the wrong files (deliveries.py), or when they are injected (drawing.py).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.ninety import deliveries
from benchmarks.ninety.life import Act, Life
from serving_assets.demo import TIMEZONE
from serving_assets.engines.protocol import Input, Query
from serving_assets.lake import DayRange
from serving_assets.local_runner.run_assets import run_assets
from serving_assets.models.bundle import stamp, write_bundle
from serving_assets.models.estimator import pickled
from tests.pipeline.slice import NAME

LOST_DAYS = 28
TILLS = ("raw/transactions",)


@dataclass(frozen=True)
class Kind:
    """One way in which a day goes wrong.

    Attributes:
        what: what goes wrong, and how large it is.
        touches: the assets that are wrong; what is made of them can be wrong too.
        deliver: delivers in place of the true delivery.
        late: delivers after the deadlines.
        spoil: what happens before the daily run.
        fix: what whoever is on call does about one day of it.
        most_days: how many days in a row it can last.
    """

    name: str
    what: str
    touches: tuple[str, ...] = TILLS
    deliver: Act | None = None
    late: Act | None = None
    spoil: Act | None = None
    fix: Act = deliveries.true_lines
    most_days: int = 1


class Wrong:
    """A model of something else: the sooner the last purchase, the surer, as `column` of its features tells."""

    classes_ = np.array([0.0, 1.0])

    def __init__(self, column: int | None) -> None:
        self.column = column

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """(rows, 2)."""
        rows = np.asarray(features, dtype=float)
        ones = np.full(len(rows), 0.5) if self.column is None else 1 / (1 + rows[:, self.column])
        return np.column_stack([1 - ones, ones])


def _other_model(column: str | None) -> Act:
    def spoil(life: Life, _day: date) -> None:
        registry = life.bench.platform.registry
        bundle = registry.bundle(NAME, registry.serving_champion(NAME))
        shutil.copytree(bundle.path, _aside(life, "bundle"))
        names = [feature.name for feature in bundle.signature.features]
        model = pickled(Wrong(names.index(column) if column else None))
        version, described = bundle.version, {"signature": bundle.signature, "profile": bundle.profile, "parity": None}
        shutil.rmtree(bundle.path)
        write_bundle(bundle.path, name=NAME, form="original", reason="by hand", model=model, **described)
        stamp(bundle.path, version)

    return spoil


def _right_model(life: Life, day: date) -> None:
    registry = life.bench.platform.registry
    path = registry.bundles_dir / NAME / registry.serving_champion(NAME)
    shutil.rmtree(path)
    _aside(life, "bundle").rename(path)
    _score_again(life, day)


def _other_words(life: Life, _day: date) -> None:
    """The customer database writes its incomes otherwise."""
    file = life.file("demographics", None)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS FROM '{file}'")
        connection.execute(f"COPY (SELECT * REPLACE (income || ' USD' AS income) FROM t) TO '{file}' (FORMAT parquet)")
    life.arrived(file)
    life.tables()


def _own_words(life: Life, _day: date) -> None:
    life.deliver("demographics", None)


def _lose_evenings(life: Life, day: date) -> None:
    """Whoever came in the evening is lost from four weeks."""
    table = life.bench.platform.lake.table("mapped/household_days")
    where = {"day": DayRange(day - timedelta(days=LOST_DAYS - 1), day)}
    sql = "SELECT * FROM t WHERE evening_baskets = 0"
    query = Query(sql, {"t": Input(table.scan(where))}, timezone=TIMEZONE)
    rows = life.bench.platform.engine.collect(query)
    table.replace(rows.to_reader(), where=where)


def _map_again(life: Life, day: date) -> None:
    days = DayRange(day - timedelta(days=LOST_DAYS - 1), day)
    key = [each for each in life.watch.graph.get_all_asset_keys() if each.path[-1] == "household_days"]
    run_assets(life.bench.defs, life.bench.instance, key, days)


def _score_again(life: Life, day: date) -> None:
    for use_case in life.use_cases:
        life.requested.discard((use_case.name, day))
        life.score(use_case, day, patient=False)


def _kill(life: Life, day: date) -> None:
    life.dies.add(day)


def _store(life: Life) -> Path:
    return Path(life.bench.settings.store.removeprefix("sqlite:///"))


def _unplug(life: Life, _day: date) -> None:
    """The store's file is gone, and a folder stands in its place."""
    life.bench.platform.store.close()
    for file in _store(life).parent.glob(f"{_store(life).name}*"):
        file.rename(_aside(life, file.name))
    _store(life).mkdir()


def _plug_in(life: Life, _day: date) -> None:
    life.bench.platform.store.close()
    _store(life).rmdir()
    for file in _aside(life, "x").parent.glob(f"{_store(life).name}*"):
        file.rename(_store(life).parent / file.name)
    _publish(life, _day)


def _tamper(life: Life, _day: date) -> None:
    """Another writer sets one document of ten to another score whenever it is written."""
    other = "replace(NEW.cur, '\"score\":0.', '\"score\":0.9')"
    with sqlite3.connect(_store(life)) as connection:
        (predictions,) = connection.execute("SELECT id FROM controls WHERE collection = ?", [NAME]).fetchone()
        for event in ("INSERT", "UPDATE"):
            connection.execute(
                f"CREATE TRIGGER other_{event} AFTER {event} ON documents "
                f"WHEN NEW.collection = {predictions} AND NEW.entity % 10 = 0 "
                f"BEGIN UPDATE documents SET cur = {other} "
                "WHERE collection = NEW.collection AND entity = NEW.entity; END"
            )


def _stop_tampering(life: Life, day: date) -> None:
    with sqlite3.connect(_store(life)) as connection:
        for event in ("INSERT", "UPDATE"):
            connection.execute(f"DROP TRIGGER other_{event}")
    _publish(life, day)


def _publish(life: Life, _day: date) -> None:
    keys = [each for each in life.watch.graph.get_all_asset_keys() if each.path[-1] in ("online", "online_features")]
    run_assets(life.bench.defs, life.bench.instance, keys)


def _aside(life: Life, name: str) -> Path:
    folder = life.bench.root / "aside"
    folder.mkdir(exist_ok=True)
    return folder / name


def _lines(name: str, what: str, most_days: int = 2) -> Kind:
    return Kind(name, what, deliver=deliveries.wrong_lines(name), most_days=most_days)


ONLINE = (f"{NAME}/online", f"{NAME}/online_features")
FEATURES = (f"{NAME}/features",)
PREDICTIONS = (f"{NAME}/predictions",)
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _lines("half_of_the_lines", "every second line of the tills is lost"),
        _lines("region_missing", "a third of the stores deliver nothing"),
        _lines("department_missing", "the lines of one department, PRODUCE, are lost: one in ten"),
        _lines("lines_repeated", "a quarter of the lines come twice"),
        _lines("baskets_doubled", "every basket comes again under another number"),
        _lines("cents_for_dollars", "all money is in cents"),
        _lines("column_renamed", "sales_value is called amount"),
        _lines("households_null", "one line of five names no household"),
        _lines("negative_prices", "one line of ten has a negative price"),
        _lines("local_time", "timestamps are local instead of UTC"),
        _lines("empty_file", "the file has no rows", 1),
        Kind("file_cut_off", "the file ends in the middle", deliver=deliveries.cut_off),
        Kind("file_of_yesterday", "the file of the day before comes again", deliver=deliveries.of_yesterday),
        Kind("late", "the file comes at 09:00", deliver=deliveries.nothing, late=deliveries.true_lines),
        Kind("missing", "no file comes", deliver=deliveries.nothing, most_days=3),
        Kind(
            "other_words",
            "the customer database writes incomes in other words",
            touches=("raw/demographics",),
            spoil=_other_words,
            fix=_own_words,
        ),
        Kind(
            "evenings_lost",
            "of 28 days, households that came in the evening are lost",
            touches=("mapped/household_days",),
            spoil=_lose_evenings,
            fix=_map_again,
        ),
        Kind(
            "constant_model",
            "the model says 0.5 of everyone",
            touches=PREDICTIONS,
            spoil=_other_model(None),
            fix=_right_model,
        ),
        Kind(
            "wrong_model",
            "another model: one over the days since the last purchase",
            touches=PREDICTIONS,
            spoil=_other_model("days_since_last_purchase"),
            fix=_right_model,
        ),
        Kind(
            "run_killed",
            "the daily run is killed while it scores",
            touches=FEATURES,
            spoil=_kill,
            fix=deliveries.nothing,
        ),
        Kind("store_down", "the online store is out of reach", touches=ONLINE, spoil=_unplug, fix=_plug_in),
        Kind(
            "documents_altered",
            "another writer changes every tenth document as it is published",
            touches=ONLINE,
            spoil=_tamper,
            fix=_stop_tampering,
        ),
    )
}
