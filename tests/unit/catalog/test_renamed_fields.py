"""Rules of renamed fields: a declaration written for an earlier version loads and means the same.

Not here: stored data of earlier versions (tests/pipeline/).
"""

from __future__ import annotations

import warnings

import pytest
from pydantic import ValidationError

from serving_assets.catalog.checks import Checks, TableChecks
from serving_assets.catalog.columns import Spec
from serving_assets.catalog.spec import Labels, NextDays

LABELS = {"sql": "labels.sql", "inputs": {"sales": NextDays(days=7)}}


@pytest.mark.parametrize(
    ("kind", "common", "old", "new", "value"),
    [(Labels, LABELS, "otherwise", "default_label", 1.0), (Checks, {}, "canary_entities", "read_back_entities", 7)],
)
def test_an_earlier_spelling_is_read(
    kind: type[Spec], common: dict[str, object], old: str, new: str, value: float
) -> None:
    """Both spellings give the same declaration, without a warning; together they are refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kind(**common, **{old: value}) == kind(**common, **{new: value})
        assert getattr(kind(**common, **{old: value}), new) == value
    with pytest.raises(ValidationError, match=old):
        kind(**common, **{old: value, new: value})


def test_tables_have_no_field_of_use_cases() -> None:
    """A spelling is read only where the field is declared."""
    with pytest.raises(ValidationError, match="not permitted"):
        TableChecks(canary_entities=1)  # type: ignore[call-arg]
