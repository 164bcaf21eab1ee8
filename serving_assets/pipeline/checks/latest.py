"""Latest: it agrees with the history, and no entity falls back to an older prediction.

Here: the proof after each merge, against the days it touched and the version before. Not here: the merge
(pipeline/stages/latest.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.pipeline.checks.verdict import Check, Verdict

NEVER_REGRESSES = Check(
    "never_regresses", "No entity's prediction is older than it was, and none left before it expired."
)
AGREES_WITH_HISTORY = Check(
    "agrees_with_history", "For the days just merged, latest holds the newest prediction of the history."
)


def check_never_regresses(engine: Engine, before: Input | None, after: Input, key: str, expired: date) -> Verdict:
    """Entities whose `(scored_for, scored_at)` went back, or that left although newer than `expired`."""
    if before is None:
        return NEVER_REGRESSES.verdict(
            "pass", "The first version; there is nothing before it.", measured=0, threshold=0
        )
    sql = f"""
        SELECT b."{key}", b.scored_for AS was_for, b.scored_at AS was_at, a.scored_for AS is_for, a.scored_at AS is_at
        FROM before AS b LEFT JOIN after AS a ON a."{key}" = b."{key}"
        WHERE (a."{key}" IS NULL AND b.scored_for > DATE '{expired}')
           OR a.scored_for < b.scored_for OR (a.scored_for = b.scored_for AND a.scored_at < b.scored_at)
    """
    return _none_of(
        engine, NEVER_REGRESSES, sql, {"before": before, "after": after}, "regressed", "No entity regressed."
    )


def check_agrees_with_history(
    engine: Engine, history: Input, latest: Input, key: str, columns: Sequence[str], expired: date
) -> Verdict:
    """Rows in which `latest` differs from the newest of `history`, which is pruned to the days merged.

    An entity may be newer in `latest` than in these days, never older, absent, or of another value.
    """
    compared = ("model_version", "run_id", *columns)
    differs = " OR ".join(f'l."{c}" IS DISTINCT FROM h."{c}"' for c in compared)
    listed = ", ".join(f'"{c}"' for c in (key, "scored_for", "scored_at", *compared))
    sql = f"""
        WITH newest AS (
            SELECT * FROM (
                SELECT {listed}, row_number() OVER (PARTITION BY "{key}" ORDER BY scored_at DESC, run_id DESC) AS n
                FROM history WHERE ("{key}", scored_for) IN (
                    SELECT ("{key}", max(scored_for)) FROM history GROUP BY "{key}"
                )
            ) AS ranked WHERE n = 1 AND scored_for > DATE '{expired}'
        ), span AS (SELECT min(scored_for) AS first, max(scored_for) AS last FROM newest)
        SELECT coalesce(h."{key}", l."{key}") AS "{key}", h.scored_for AS history_for, l.scored_for AS latest_for,
               h.run_id AS history_run, l.run_id AS latest_run
        FROM newest AS h
        FULL JOIN latest AS l ON l."{key}" = h."{key}"
        WHERE (h."{key}" IS NOT NULL AND l."{key}" IS NULL)
           OR l.scored_for < h.scored_for
           OR (l.scored_for = h.scored_for AND ({differs}))
           OR (h."{key}" IS NULL AND l.scored_for BETWEEN (SELECT first FROM span) AND (SELECT last FROM span))
    """
    return _none_of(
        engine,
        AGREES_WITH_HISTORY,
        sql,
        {"history": history, "latest": latest},
        "disagree",
        "Latest agrees with the history.",
    )


def _none_of(engine: Engine, check: Check, sql: str, inputs: dict[str, Input], verb: str, fine: str) -> Verdict:
    count = engine.collect(Query(f"SELECT count(*) AS n FROM ({sql})", inputs)).column("n")[0].as_py()
    if count == 0:
        return check.verdict("pass", fine, measured=0, threshold=0)
    examples = engine.collect(Query(f"SELECT * FROM ({sql}) LIMIT 10", inputs)).to_pylist()
    return check.verdict("error", f"{count:,} entities {verb}.", measured=count, threshold=0, examples=examples)
