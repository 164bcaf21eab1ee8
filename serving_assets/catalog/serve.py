"""Declares how the prediction API answers.

Here: look-up, scoring in the request, the fallback, and what a front end may keep. Not here: the rest of a use case
(spec.py), or the API (serving/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from serving_assets.catalog.columns import Spec

LOG_FOLDER = "api_predictions"
"""Where the prediction log lies in the landing zone."""


class OnTheFly(Spec):
    """Scoring in the request, by the champion.

    Features that the request does not bring come from the online store (where `stored_features`), then from
    `defaults`, and are missing otherwise; a feature that the model requires must come from one of them. While the store
    is out of reach, features that the process still holds are used; without them `defaults` scores without, and
    `unavailable` gives no answer.
    """

    stored_features: bool = False
    defaults: dict[str, float | str] = {}
    when_store_is_down: Literal["defaults", "unavailable"] = "unavailable"


class Fallback(Spec):
    """Who answers for an entity without a published prediction: the champion of another use case, scored on the fly.

    A prediction older than `max_age_days` counts as none. While the store is out of reach, `stale` answers from what
    the process still holds and with the fallback for the rest, `fallback` answers with the fallback for all, and
    `unavailable` gives no answer for what it does not hold.
    """

    use_case: str
    max_age_days: PositiveInt | None = None
    when_store_is_down: Literal["stale", "fallback", "unavailable"] = "stale"


class LogAnswers(Spec):
    """Which answers go to the prediction log: a sample of `share`, with ids and features only where they are declared.

    Ids and features are personal data wherever entities are persons.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    entity: bool = False
    features: bool = False


class Serve(Spec):
    """How the prediction API answers for a use case.

    With neither `lookup` nor `fallback`, predictions have no reader and none are published: the daily scores
    stay in the lake.

    A front end may keep a looked-up prediction until the next publish is due, but no longer than `max_age_seconds`, so
    that a rollback reaches it. `stale_while_revalidate_seconds` is for how much longer it may show it while it asks
    again, `stale_if_error_seconds` while the API is down.
    """

    lookup: bool = True
    on_the_fly: OnTheFly | None = None
    fallback: Fallback | None = None
    log: LogAnswers | None = None
    max_age_seconds: PositiveInt = 3_600
    stale_while_revalidate_seconds: PositiveInt = 60
    stale_if_error_seconds: PositiveInt = 86_400

    @property
    def published(self) -> bool:
        """Whether published predictions have a reader: by id, or as the known half of a hybrid."""
        return self.lookup or self.fallback is not None


def check_fallback(name: str, serve: Serve, others: Mapping[str, Serve]) -> str | None:
    """What is wrong with the fallback of the use case `name`; None when nothing is."""
    if serve.fallback is None:
        return None
    other = serve.fallback.use_case
    if other == name or other not in others:
        return f"serve.fallback.use_case: {other!r} is no other use case; name one of {', '.join(sorted(others))}"
    if others[other].on_the_fly is None:
        return f"serve.fallback.use_case: {other!r} does not declare serve.on_the_fly; declare it there"
    return None
