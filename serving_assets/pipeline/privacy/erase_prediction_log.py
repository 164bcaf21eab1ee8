"""A person in the prediction log: the answers that the API noted in the landing zone.

Here: finding them by keyed hash, and taking them out of finished files. Not here: writing the log (serving/), or when
an erasure looks (erase_person.py).

A batch loses the person's item alone. A line that cannot be read may name anybody, so it goes too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from serving_assets.catalog.serve import LOG_FOLDER
from serving_assets.engines.person_hash import PersonHashes
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.existing_collections import use_case_may_hold

STILL_WRITTEN = (
    "Answers that a running API has noted appear within five minutes; run it again then, or let the nightly run."
)
UNREADABLE = "unreadable"
Concerns = Callable[[str], bool]


def answers_naming(platform: Platform, subjects: PersonHashes) -> Counter[str]:
    """How many answers name each of them, by hash, in finished files and in those that the API still writes."""
    found, concerns = Counter[str](), _concerns(platform, subjects)
    for file in _files(platform):
        for line in _lines(file):
            found.update(_parted(concerns, subjects, line)[1])
    return found


def erase_answers(platform: Platform, subjects: PersonHashes) -> None:
    """Take them out of every finished file; each is old or new, whenever this is killed."""
    concerns = _concerns(platform, subjects)
    for file in _files(platform):
        parted = [_parted(concerns, subjects, line) for line in _lines(file)]
        if file.name.startswith(".") or not any(named for _, named in parted):
            continue
        kept = b"".join(line for line, _ in parted)
        fresh = file.with_name(f".{file.name}.without")
        fresh.write_bytes(kept)
        fresh.replace(file)


def _files(platform: Platform) -> Iterator[Path]:
    """Every file of the log, those that a killed erasure left too."""
    folder = platform.settings.landing / LOG_FOLDER
    yield from sorted(path for path in folder.glob("dt=*/*") if path.is_file())


def _lines(file: Path) -> list[bytes]:
    """The whole lines; of a file that is being written the last one may be on its way."""
    lines = file.read_bytes().splitlines(keepends=True)
    return [line for line in lines if line.endswith(b"\n") or not file.name.startswith(".")]


def _concerns(platform: Platform, subjects: PersonHashes) -> Concerns:
    """Whether a use case's predictions are about entities of their kind, found once for each."""
    return cache(lambda use_case: use_case_may_hold(platform, use_case, subjects.key))


def _parted(concerns: Concerns, subjects: PersonHashes, line: bytes) -> tuple[bytes, list[str]]:
    """What is left of a line without them, and the hash of each that it named."""
    try:
        answer: dict[str, Any] = json.loads(line)
        items = answer.get("items", [answer])
        theirs = [item["entity_id"] for item in items if subjects.among(item.get("entity_id"))]
        if not (theirs and concerns(str(answer.get("use_case", "")))):
            return line, []
    except (ValueError, TypeError, KeyError, AttributeError):
        return b"", [UNREADABLE]
    others = [item for item in items if not subjects.among(item.get("entity_id"))]
    kept = json.dumps({**answer, "items": others}, separators=(",", ":")).encode() + b"\n" if others else b""
    return kept, [subjects.hash(entity) for entity in theirs]
