"""The readers: every entity asked of the real API, again and again, each answer held against what is right.

Here: asking, and what counts as wrong. Not here: what is right (undisturbed.py).

An answer is wrong when it differs in anything - the value, its as-of, its model version, whether there is one at all -
from what an undisturbed run publishes for the as-of that the answer names. An older as-of is not wrong, and no answer
is not wrong: both are told.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drill.world import NAME

Documents = Mapping[str, list[Any]]
"""By entity: value, as-of, model version."""
Document = tuple[Any, datetime, str]
IDS_PER_REQUEST = 1_000
EVERY_SECONDS = 1.0
NOBODY = 999_999_999
"""An entity that does not exist."""


@dataclass
class Seen:
    """What readers got since a moment.

    Attributes:
        predictions: for how many ids they got an answer, each compared.
        generations: by number, its as-of.
        stale: answers that said so; `refused`: those without predictions, by status or error.
        wrong: the first wrong ones, in words.
    """

    predictions: int = 0
    generations: dict[int, str] = field(default_factory=dict)
    stale: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Right:
    """What readers may get: by as-of, the documents of an undisturbed run."""

    def __init__(self, expected: Mapping[str, Documents]) -> None:
        self._by_as_of = {instant(as_of): normal(documents) for as_of, documents in expected.items()}
        self.ids = sorted({int(entity) for documents in expected.values() for entity in documents} | {NOBODY})

    def wrong(self, as_of: str, documents: Documents) -> list[str]:
        """What is wrong with `documents`, said to be all that is published for `as_of`."""
        found = normal(documents)
        ids = sorted(found.keys() | self._by_as_of.get(instant(as_of), {}).keys())
        return self._differences(as_of, {entity: found.get(entity) for entity in ids})

    def wrong_answers(self, as_of: str, ids: Sequence[int], items: Sequence[Mapping[str, Any]]) -> list[str]:
        """What is wrong with the API's answers about `ids`, in their order, said to be of `as_of`."""
        found = {str(asked): _answered(item) for asked, item in zip(ids, items, strict=True)}
        mixed = [
            f"{i['entity_id']} in place of {asked}"
            for asked, i in zip(ids, items, strict=True)
            if i["entity_id"] != asked
        ]
        return mixed + self._differences(as_of, found)

    def _differences(self, as_of: str, found: Mapping[str, Document | None]) -> list[str]:
        right = self._by_as_of.get(instant(as_of))
        if right is None:
            return [f"nobody should have published {as_of}"]
        return [
            f"{entity} at {as_of} is {one}, and {right.get(entity)} is right"
            for entity, one in found.items()
            if one != right.get(entity)
        ]


class Watcher:
    """Asks from a thread of its own until it is closed."""

    def __init__(self, port: int, right: Right) -> None:
        self._port, self.right = port, right
        ids = right.ids
        self._questions = [ids[n : n + IDS_PER_REQUEST] for n in range(0, len(ids), IDS_PER_REQUEST)]
        self._seen, self._lock, self._ended = Seen(), threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def take(self) -> Seen:
        """What was seen since this was asked last."""
        with self._lock:
            seen, self._seen = self._seen, Seen()
        return seen

    def close(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            for ids in self._questions:
                status, answer = self._answer(ids)
                with self._lock:
                    self._take_in(ids, status, answer)
            time.sleep(EVERY_SECONDS)

    def _answer(self, ids: list[int]) -> tuple[str, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            body = json.dumps({"ids": ids})
            path = f"/v1/use-cases/{NAME}/predictions:batchGet"
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return str(answer.status), json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__, {}
        finally:
            connection.close()

    def _take_in(self, ids: list[int], status: str, answer: dict[str, Any]) -> None:
        seen = self._seen
        if status != "200":
            seen.refused[status] += 1
            return
        seen.stale += answer["stale"]
        seen.generations[answer["generation"]] = answer["as_of"]
        seen.predictions += len(ids)
        seen.wrong += self.right.wrong_answers(answer["as_of"], ids, answer["items"])


def _answered(item: Mapping[str, Any]) -> Document | None:
    if item["status"] != "found":
        return None
    return item["prediction"], instant(item["as_of"]), item["model_version"]


def normal(documents: Documents) -> dict[str, Document]:
    """Documents with instants instead of their texts."""
    return {entity: (value, instant(as_of), version) for entity, (value, as_of, version) in documents.items()}


def instant(text: str) -> datetime:
    """A point in time, however it is written."""
    return datetime.fromisoformat(text)
