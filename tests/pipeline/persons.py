"""A person to erase, and what is looked at before and afterwards.

Here: who it is, and what the lake and the store hold of this person and of others. Not here: what must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from serving_assets.engines.protocol import Input, Query
from serving_assets.lake import DayRange
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.erase_person import erase, remains
from serving_assets.pipeline.privacy.erasure_register import ErasureRequest
from serving_assets.pipeline.privacy.find_person import Left, holders
from tests.pipeline.slice import DAY, Bench

KEY = "household_id"
Others = Mapping[str, tuple[int, str]]


def person_of(bench: Bench) -> int:
    """A household that every source knows, that shopped on the last day, and that has a document."""
    names = {"t": "raw/transactions", "demographics": "raw/demographics", "campaigns": "raw/campaigns"}
    inputs = {name: Input(bench.platform.lake.table(table).scan()) for name, table in names.items()}
    known = " AND ".join(f"household_id IN (SELECT household_id FROM {name})" for name in ("demographics", "campaigns"))
    sql = f"SELECT min(household_id) AS id FROM t WHERE day = DATE '{DAY}' AND {known}"
    return int(bench.platform.engine.collect(Query(sql, inputs)).column("id")[0].as_py())


def forget(bench: Bench, person: int, now: datetime | None = None) -> ErasureRequest:
    """Ask for the erasure and carry it out."""
    return erase(bench.platform, bench.instance, [erasure_register.ask(bench.platform, KEY, person, now)], now)[0]


def left(bench: Bench, request: ErasureRequest) -> list[Left]:
    """What still names the person, but for tombstones that wait for their time."""
    persons = erasure_register.subjects(bench.platform, KEY, {request.subject})
    found = remains(bench.platform, bench.instance, KEY, persons)
    return [each for each in found if each.what != "empty tombstones"]


def others(bench: Bench, person: int) -> Others:
    """Count and digest of all rows of all tables that are about others."""
    found = {}
    for holder in holders(bench.platform, KEY):
        its = f"CAST(TRY_CAST({holder.places[0]} AS BIGINT) AS BIGINT) IS DISTINCT FROM {person}"
        sql = f"SELECT count(*) AS n, CAST(coalesce(sum(hash(t)), 0) AS VARCHAR) AS digest FROM t WHERE {its}"
        row = bench.platform.engine.collect(Query(sql, {"t": Input(holder.table.scan())})).to_pylist()[0]
        found[holder.table.name] = (row["n"], row["digest"])
    return found


def deliver_twice(bench: Bench, person: int) -> None:
    """The last day's file repeats a line of the person, which the contract rejects, and is landed again."""
    file = bench.landed("transactions")
    rows = pq.read_table(file)
    line = rows.column(KEY).to_pylist().index(person)
    pq.write_table(pa.concat_tables([rows, rows.slice(line, 1)]), file)
    assert [outcome.failures for outcome in bench.tables(DayRange(DAY, DAY))] == [()]


@dataclass(frozen=True)
class Erased:
    """A workspace with two generations and a rejected row, before and after one person was erased."""

    bench: Bench
    person: int
    request: ErasureRequest
    before: Others
    documents: Mapping[int | str, str]
