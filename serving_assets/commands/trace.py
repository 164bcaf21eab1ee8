"""`trace`: its screen, and the moment asked for.

Here: reading `--at`, and the story in lines. Not here: finding it out (pipeline/observing/prediction_provenance.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from serving_assets.commands.screen import console
from serving_assets.errors import InputError
from serving_assets.pipeline.observing.prediction_provenance import PredictionProvenance


def moment(text: str | None, timezone: str) -> datetime:
    """The instant that `text` names in ISO 8601, local in `timezone` unless it says otherwise; without text, now.

    Raises:
        InputError: when it is not one.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no moment.", hint="Write ISO 8601, such as 2017-06-01T03:00 or 2017-06-01T07:00Z."
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(timezone))


def print_trace(result: PredictionProvenance) -> None:
    """From the answer back to the feature row."""
    console.print(f"[bold]{result.use_case}[/] {result.entity} at {result.at}", markup=True)
    console.print(f"  {result.message}", markup=False)
    if served := result.served:
        until = f"until {served.until}" if served.until else "until now"
        console.print(f"  active        since {served.since} {until}", markup=False)
        repeats = f" of generation {served.repeats}" if served.repeats else ""
        reason = f": {served.reason}" if served.reason else ""
        console.print(f"  by            {served.kind}{repeats}, {served.by}{reason}", markup=False)
    if made := result.made:
        values = ", ".join(f"{name} {value}" for name, value in made.value.items())
        console.print(f"  [bold]{values}[/], as of {made.as_of}")
        console.print(f"  made          for {made.scored_for} at {made.scored_at.isoformat(timespec='seconds')}")
        console.print(f"  model         version {made.model_version}, run {made.run_id}")
    if result.features_message:
        console.print(f"  features      {result.features_message}", markup=False)
    for name, value in (result.features or {}).items():
        console.print(f"    {name:<32} {value}", markup=False)
