"""Publishing again what readers get already.

Not here: what is published after a change (test_healing.py, test_reruns.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from serving_assets.pipeline.publishing.published_documents import PublishedDocuments
from tests.pipeline.slice import NAME, Bench


def test_what_readers_get_already_is_not_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the version that is active, made into documents in the same way, no row is read to publish it again."""

    def read(*_: Any) -> None:
        raise AssertionError("the rows were read")

    assert bench.run("online", day=None).success
    before = bench.platform.store.control(NAME)
    monkeypatch.setattr(PublishedDocuments, "total", read)
    outcome = bench.run("online", day=None)
    assert outcome.success, outcome.failures
    assert bench.platform.store.control(NAME) == before
