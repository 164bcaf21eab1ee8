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
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drill.world import NAME

Documents = Mapping[str, list[Any]]
"""By entity: value, as-of, model version."""
IDS_PER_REQUEST = 1_000
EVERY_SECONDS = 0.5
NOBODY = 999_999_999
"""An entity that does not exist."""


@dataclass
class Seen:
    """What readers got since a moment.

    Attributes:
        predictions: how many they got, each compared.
        generations: by number, its as-of.
        stale: answers that said so; `refused`: those without predictions, by status or error.
        wrong: the first wrong ones, in words.
    """

    predictions: int = 0
    generations: dict[int, str] = field(default_factory=dict)
    stale: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Watcher:
    """Asks from a thread of its own until it is closed."""

    def __init__(self, port: int, expected: Mapping[str, Documents]) -> None:
        self._port = port
        self._expected = {instant(as_of): normal(documents) for as_of, documents in expected.items()}
        ids = sorted({int(entity) for documents in expected.values() for entity in documents} | {NOBODY})
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

    def judge(self, as_of: str, documents: Mapping[str, list[Any]]) -> list[str]:
        """What is wrong with `documents`, said to be all of those published for `as_of`."""
        right = self._expected.get(instant(as_of))
        if right is None:
            return [f"nobody should have published {as_of}"]
        found = normal(documents)
        return [
            f"{entity} at {as_of}: {found.get(entity)}, and {right.get(entity)} is right"
            for entity in sorted(right.keys() | found.keys())
            if found.get(entity) != right.get(entity)
        ]

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
        right = self._expected.get(instant(answer["as_of"]), {})
        if not right:
            seen.wrong.append(f"nobody should have published {answer['as_of']}")
        for asked, item in zip(ids, answer["items"], strict=True):
            seen.predictions += 1
            found = None
            if item["status"] == "found":
                found = (item["prediction"], instant(item["as_of"]), item["model_version"])
            if found != right.get(str(asked)) or item["entity_id"] != asked:
                seen.wrong.append(f"{asked} at {answer['as_of']}: {item}, and {right.get(str(asked))} is right")


def normal(documents: Mapping[str, list[Any]]) -> dict[str, tuple[Any, datetime, str]]:
    """Documents with instants instead of their texts."""
    return {entity: (value, instant(as_of), version) for entity, (value, as_of, version) in documents.items()}


def instant(text: str) -> datetime:
    """A point in time, however it is written."""
    return datetime.fromisoformat(text)
