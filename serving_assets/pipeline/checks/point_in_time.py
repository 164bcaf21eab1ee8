"""Point in time: no feature has seen a row at or after `$as_of`.

Here: the proof by the newest timestamp of what was read. Not here: the windows that make it so (pipeline/days.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.pipeline.checks.verdict import Check, Verdict
from serving_assets.pipeline.days import as_of

POINT_IN_TIME = Check(
    "point_in_time", "The newest row that any feature has read is older than the instant of the prediction."
)


def check_point_in_time(engine: Engine, inputs: Mapping[str, Input], day: date, timezone: str) -> Verdict:
    """Hours between the end of `day` and the newest event that was read; zero or less is a look into the future."""
    end, newest = as_of(day, timezone), {}
    for name, source in inputs.items():
        if source.event_time is not None:
            sql = f'SELECT CAST(max("{source.event_time}") AS TIMESTAMPTZ) AS newest FROM t'
            found = engine.collect(Query(sql, {"t": source}, timezone=timezone)).column("newest")[0].as_py()
            if found is not None:
                newest[name] = found
    late = {name: at for name, at in newest.items() if at >= end}
    margin = min(((end - at).total_seconds() / 3600 for at in newest.values()), default=0.0)
    examples = [{"input": name, "newest": at.isoformat(), "as_of": end.isoformat()} for name, at in late.items()]
    if late:
        message = f"{', '.join(late)} has rows at or after {end.isoformat()}: the features look into the future."
        return POINT_IN_TIME.verdict("error", message, measured=margin, threshold=0, examples=examples)
    if not newest:
        return POINT_IN_TIME.verdict("pass", "No input holds a dated row.", measured=margin, threshold=0)
    message = f"The newest of {len(newest)} dated inputs is {margin:.1f} hours older than {end.isoformat()}."
    return POINT_IN_TIME.verdict("pass", message, measured=margin, threshold=0)
