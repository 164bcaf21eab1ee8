"""Store parity: what readers get is what the lake holds, document by document.

Here: the verdict, and which documents differ. Not here: the reading and digesting (store/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from serving_assets.pipeline.checks.verdict import EXAMPLES, Check, Verdict
from serving_assets.store import Entity, OnlineStore, Parity, scan

STORE_PARITY = Check(
    "store_parity", "The store's active generation holds exactly the documents of the lake, by count and digest."
)


def check_store_parity(
    found: Parity, store: OnlineStore, collection: str, expected: Callable[[], Iterable[tuple[Entity, str]]]
) -> Verdict:
    """Documents that differ; `expected` gives those of the lake, and is asked only when count or digest differ."""
    if found.equal:
        message = f"All {found.rows:,} documents of generation {found.generation} are those of the lake."
        return STORE_PARITY.verdict("pass", message, measured=0, threshold=0)
    differing, examples = _differing(store, collection, dict(expected()))
    message = (
        f"Generation {found.generation} holds {found.rows:,} documents, the lake {found.expected_rows:,}; "
        f"{differing:,} differ. The next publish rewrites every document: run it now."
    )
    return STORE_PARITY.verdict("error", message, measured=differing, threshold=0, examples=examples)


def _differing(store: OnlineStore, collection: str, lake: dict[Entity, str]) -> tuple[int, list[dict[str, Any]]]:
    """How many documents differ, and some of them; `lake` is used up."""
    differing = 0
    examples: list[dict[str, Any]] = []
    for entity, text in scan(store, collection):
        expected = lake.pop(entity, None)
        if expected != text:
            differing += 1
            if len(examples) < EXAMPLES:
                examples.append({"entity": entity, "store": text, "lake": expected})
    lost = [{"entity": entity, "store": None, "lake": expected} for entity, expected in lake.items()]
    return differing + len(lost), (examples + lost)[:EXAMPLES]
