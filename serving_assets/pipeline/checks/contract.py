"""Contract: keys are unique and filled, required columns are filled, numbers are finite and within their bounds.

Here: the contract of tables that the pipeline itself made. Not here: landed rows, which are held to theirs when they
are read (landing/ingest.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from serving_assets.catalog.columns import Column
from serving_assets.catalog.spec import DAY
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.pipeline.checks.verdict import EXAMPLES, Check, Verdict

CONTRACT = Check(
    "contract", "Keys are unique and filled, required columns are filled, numbers are finite and in range."
)


def check_contract(
    engine: Engine, rows: Input, key: Sequence[str], columns: Mapping[str, Column], check: Check = CONTRACT
) -> Verdict:
    """Hold rows to their contract; `key` includes the partition column where keys are unique per partition."""
    rules = {f"{name} is empty": f'"{name}" IS NULL' for name in key}
    for name, column in columns.items():
        if column.required:
            rules[f"{name} is empty"] = f'"{name}" IS NULL'
        if column.dtype in ("float32", "float64"):
            rules[f"{name} is not finite"] = f'NOT isfinite("{name}")'
        if violation := column.bounds.violation_sql(f'"{name}"'):
            rules[f"{name} is out of range"] = f"({violation})"
    listed = ", ".join(f'"{name}"' for name in key)
    tallies = ", ".join(f'count(*) FILTER ({rule}) AS "{name}"' for name, rule in rules.items())
    found = engine.collect(Query(f"SELECT count(*) AS rows, {tallies} FROM t", {"t": rows})).to_pylist()[0]
    twice = f"SELECT {listed}, count(*) AS copies FROM t GROUP BY {listed} HAVING count(*) > 1"
    copies = engine.collect(Query(f"{twice} ORDER BY ALL LIMIT 10", {"t": rows})).to_pylist()
    keys = len(copies) and engine.collect(Query(f"SELECT count(*) AS n FROM ({twice})", {"t": rows}))["n"][0].as_py()
    total = found.pop("rows")
    broken = {name: n for name, n in found.items() if n}
    if not broken and not copies:
        return check.verdict("pass", f"All {total:,} rows keep the contract.", measured=0, threshold=0)
    message = [f"{name} in {n:,} of {total:,} rows" for name, n in broken.items()]
    message += [f"the key ({', '.join(key)}) is not unique: {keys:,} values occur more than once"] if copies else []
    examples = copies
    if broken:
        examples = _examples(engine, rows, [rules[name] for name in broken])
    days = _failed_days(engine, rows, listed, [rules[name] for name in broken]) if DAY in key else []
    measured, text = sum(broken.values()) + keys, "; ".join(message) + "."
    return check.verdict("error", text, measured=measured, threshold=0, examples=examples, days=days)


def _failed_days(engine: Engine, rows: Input, key: str, rules: Sequence[str]) -> list[date]:
    """The days on which a row breaks a rule or shares its key; grouped instead of filtered, as `_examples` explains."""
    twice = f"count(*) OVER (PARTITION BY {key}) > 1"
    broken = " OR ".join([twice, *(f"coalesce({rule}, false)" for rule in rules)])
    sql = f"SELECT {DAY} FROM (SELECT {DAY}, {broken} AS broken__ FROM t) GROUP BY {DAY} HAVING bool_or(broken__)"
    return list(engine.collect(Query(sql, {"t": rows})).column(DAY).to_pylist())


def _examples(engine: Engine, rows: Input, rules: Sequence[str]) -> list[dict[str, Any]]:
    """Some rows that break a rule.

    Sorted to the top instead of filtered: DuckDB 2.0 skips the parts of a file whose statistics allow no match, and
    those of Parquet leave out NaN, so `WHERE NOT isfinite(score)` finds no row.
    """
    sql = f"SELECT *, coalesce({' OR '.join(rules)}, false) AS broken__ FROM t ORDER BY broken__ DESC LIMIT {EXAMPLES}"
    found = engine.collect(Query(sql, {"t": rows})).to_pylist()
    return [row for row in found if row.pop("broken__")]
