"""Deliveries of the tills that are wrong: another file in place of the true one.

Here: each wrong delivery, as SQL over the true lines or as what happens to the file. Not here: when it is injected, or
what else goes wrong (faults.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks.ninety.life import Life

TILLS = "transactions"
MONEY = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
CENTS = ", ".join(f"{column} * 100 AS {column}" for column in MONEY)
FIFTH, TENTH = (f"hash(basket_id, product_id) % {n} = 0" for n in (5, 10))

LINES = {
    "half_of_the_lines": "SELECT * FROM lines WHERE hash(basket_id, product_id) % 2 = 0",
    "region_missing": "SELECT * FROM lines WHERE hash(store_id) % 3 <> 0",
    "department_missing": "SELECT lines.* FROM lines ANTI JOIN (FROM products WHERE department = 'PRODUCE') "
    "USING (product_id)",
    "lines_repeated": "FROM lines UNION ALL FROM lines WHERE hash(basket_id, product_id) % 4 = 0",
    "baskets_doubled": "FROM lines UNION ALL SELECT * REPLACE (basket_id + 10000000000 AS basket_id) FROM lines",
    "cents_for_dollars": f"SELECT * REPLACE ({CENTS}) FROM lines",
    "column_renamed": "SELECT * RENAME (sales_value AS amount) FROM lines",
    "households_null": f"SELECT * REPLACE (CASE WHEN {FIFTH} THEN NULL ELSE household_id END AS household_id) "
    "FROM lines",
    "negative_prices": f"SELECT * REPLACE (CASE WHEN {TENTH} THEN -sales_value ELSE sales_value END AS sales_value) "
    "FROM lines",
    "local_time": "SELECT * REPLACE (CAST(timezone('America/New_York', timezone('UTC', transaction_timestamp)) "
    "AS TIMESTAMP) AS transaction_timestamp) FROM lines",
    "empty_file": "FROM lines LIMIT 0",
}
"""By kind: what is delivered, over `lines`, the true ones, and `products`, the product list."""


def wrong_lines(kind: str) -> Callable[[Life, date], None]:
    """Delivers LINES[kind] of the day."""

    def deliver(life: Life, day: date) -> None:
        with duckdb.connect() as connection:
            for name, file in (
                ("lines", life.file(TILLS, day, life.shelf)),
                ("products", life.file("products", None, life.shelf)),
            ):
                connection.execute(f"CREATE TABLE {name} AS FROM read_parquet('{file}', hive_partitioning = false)")
            file = _place(life, day)
            connection.execute(f"COPY ({LINES[kind]}) TO '{file}' (FORMAT parquet)")
        life.arrived(file)

    return deliver


def cut_off(life: Life, day: date) -> None:
    """The first half of the file's bytes."""
    file = _place(life, day)
    whole = life.file(TILLS, day, life.shelf).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    life.arrived(file)


def of_yesterday(life: Life, day: date) -> None:
    """The file of the day before, once more."""
    file = _place(life, day)
    file.write_bytes(life.file(TILLS, day - timedelta(days=1), life.shelf).read_bytes())
    life.arrived(file)


def nothing(_life: Life, _day: date) -> None:
    """No file."""


def true_lines(life: Life, day: date) -> None:
    """What should have been delivered."""
    life.deliver(TILLS, day)


def _place(life: Life, day: date) -> Path:
    file = life.file(TILLS, day)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
