"""What the code reads of the kept workspace, in plain values, section by section.

Here: reading. Not here: what it must be (expected.json, written by the code that made the workspace), or how the folder
is opened (open_workspace.py).

Values are compared after a way through JSON, and what is read may say more than what was read then. Names of Python's
own, such as a field of a dataclass, may change: then change the reading here, and never expected.json.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from serving_assets.catalog.serve import LOG_FOLDER
from serving_assets.engines.protocol import Input, Query
from serving_assets.errors import InputError
from serving_assets.landing.ingest import FINGERPRINT
from serving_assets.local_runner.workspace import Workspace
from serving_assets.models.lifecycle.promotion import GateVerdict
from serving_assets.pipeline.observing.prediction_provenance import trace
from serving_assets.pipeline.privacy import erasure_register
from serving_assets.pipeline.privacy.erase_prediction_log import answers_naming
from serving_assets.pipeline.privacy.find_person import documents_naming
from serving_assets.pipeline.privacy.retention import retain
from serving_assets.pipeline.publishing.activation_log import ActivationLog
from serving_assets.pipeline.publishing.published_documents import PublishedCollection, collections_of, documents_of
from serving_assets.pipeline.stages.historic import features_version
from serving_assets.pipeline.stages.latest import plan_merge
from serving_assets.pipeline.stages.training import VERDICT
from serving_assets.serving.http.keys import read_ring, recognise
from serving_assets.store import Generation, scan
from tests.kept.asking import asked, command
from tests.kept.facts_of_runs import NAME, Told, alerts, backfills, checks, lacks, made, runs, switches
from tests.kept.plain import digest, text, without

KEY = "household_id"
BASKET = {
    **{"basket_value": 23.5, "basket_items": 9, "basket_departments": 3},
    **{"hour": 17, "weekday": 5, "store": "367"},
}
WORDED = ("api", "traces", "commands")
WORDS = ("said", "features_said", "why", "title", "detail", "runbook", "age_seconds")
"""In WORDED sections the code speaks to people: members with its words, which may change, or with an age."""
RENAMED = {"lacks": "gaps"}
"""Members that have another name than in 0.1.0; the changelog lists each as `old` is `new`."""
HALF_A_YEAR = timedelta(days=182)


def settings(workspace: Workspace, told: Told) -> Any:
    """What the workspace has fixed, and whether all settings that there were are there."""
    known = type(workspace.platform.settings).model_fields
    return {"first_day": workspace.platform.settings.first_day, "gone": sorted({*told["settings"]} - {*known})}


def tables(workspace: Workspace, told: Told) -> Any:
    """Each table of the lake: version, columns, number and digest of the rows, and the facts of each commit."""
    lake = workspace.platform.lake
    return {name: _table(workspace, name) for name in lake.tables()}


def _table(workspace: Workspace, name: str) -> Any:
    stored = workspace.platform.lake.table(name)
    schema = stored.schema()
    assert schema is not None
    rows = workspace.platform.engine.collect(Query("SELECT * FROM t", {"t": Input(stored.scan())}))
    return {
        "version": stored.version(),
        "columns": {field.name: str(field.type) for field in schema},
        "rows": rows.num_rows,
        "digest": digest(rows),
        "commits": [{"version": one["version"], "facts": one["metadata"]} for one in stored.history()],
        "fingerprint": stored.commit_metadata().get(FINGERPRINT),
    }


def merged(workspace: Workspace, told: Told) -> Any:
    """Whether `latest` is known to hold all of the history, and the versions that predictions were made from."""
    use_case, lake = workspace.catalog.use_case(NAME), workspace.platform.lake
    predictions, historic, latest = (lake.table(use_case.lake_name(n)) for n in ("predictions", "historic", "latest"))
    version = predictions.at().version
    return {
        "left_to_merge": plan_merge(historic, latest, [], use_case.spec.predictions.expire_after_days) is not None,
        "features": {str(day): features_version(predictions, day, version) for day in predictions.partitions()},
    }


def retained(workspace: Workspace, told: Told) -> Any:
    """What retention would remove half a year later: nothing that a reader or a rollback needs."""
    later = datetime.fromisoformat(told["read_at"]) + HALF_A_YEAR
    found = retain(workspace.platform, dry_run=True, now=later)
    return [[removed.where, removed.rows, removed.files] for removed in found]


def online(workspace: Workspace, told: Told) -> Any:
    """Each collection of the store: its control record, its publications, and its documents by generation."""
    use_case = workspace.catalog.use_case(NAME)
    return {collection.name: _collection(workspace, collection) for collection in collections_of(use_case)}


def _collection(workspace: Workspace, collection: PublishedCollection) -> Any:
    platform = workspace.platform
    control = platform.store.control(collection.name)
    assert control is not None
    log = ActivationLog(platform, collection).entries(control)
    published = {entry.generation.number: entry.generation for entry in log}
    return {
        "control": asdict(control),
        "publications": [asdict(entry) for entry in log],
        "documents": _shown(collection, dict(scan(platform.store, collection.name))),
        "of_generation": {number: _of(workspace, collection, one) for number, one in published.items()},
    }


def _of(workspace: Workspace, collection: PublishedCollection, generation: Generation) -> Any:
    platform = workspace.platform
    try:
        snapshot = documents_of(collection, generation, platform.lake)
    except InputError:
        return "gone"
    return _shown(collection, dict(snapshot.documents(platform.engine)))


def _shown(collection: PublishedCollection, documents: Mapping[Any, str]) -> Any:
    """The documents of predictions; of features, which are long, one and the digest of all."""
    shown = sorted(documents.items())
    if collection.asset == "online":
        return shown
    sha = hashlib.sha256(json.dumps(shown).encode()).hexdigest()
    return {"rows": len(shown), "digest": sha, "first": shown[0]}


def registry(workspace: Workspace, told: Told) -> Any:
    """Of each model champion, candidate, and what is kept of the version."""
    return {name: _model(workspace, name) for name in workspace.catalog.use_cases}


def _model(workspace: Workspace, name: str) -> Any:
    found = workspace.platform.registry
    version = found.serving_champion(name)
    tags = found.tags(name, version)
    bundle = found.bundle(name, version)
    return {
        "champion": version,
        "candidate": found.alias(name, "candidate"),
        "metrics": found.metrics(name, version),
        "verdict": GateVerdict.model_validate_json(tags.pop(VERDICT)).model_dump(),
        "tags": tags,
        "form": bundle.form,
        "features": bundle.signature.names,
    }


def keys(workspace: Workspace, told: Told) -> Any:
    """Every API key, and whom the code recognises by the one that was handed out."""
    ring, now = read_ring(workspace.platform.settings.api_keys_file), datetime.now(UTC)
    known = recognise({key.id: key for key in ring.keys}, told["key"], now)
    return {
        "keys": [[key.client, key.scopes, key.rate, key.valid(now), key.expires] for key in ring.keys],
        "recognised": known.client if known else None,
    }


def erased(workspace: Workspace, told: Told) -> Any:
    """The register, whom the code recognises in it, and whom the prediction log still names."""
    platform = workspace.platform
    persons = (told["entity"], told["erased"])
    known = [person for person in persons if erasure_register.request_of(platform, KEY, person)]
    subjects = erasure_register.subjects(platform, KEY, ())
    hashes = {subjects.hash(told[who]): who for who in ("entity", "erased")}
    named = answers_naming(platform, erasure_register.subjects(platform, KEY, hashes))
    full, empty = documents_naming(platform.store, NAME, erasure_register.subjects(platform, KEY, [*hashes]))
    return {
        "documents": {"full": full, "empty": empty},
        "requests": [asdict(request) for request in erasure_register.requests(platform)],
        "recognised": known,
        "named_in_the_log": {hashes[subject]: count for subject, count in named.items()},
    }


def answers(workspace: Workspace, told: Told) -> Any:
    """The lines of the prediction log."""
    files = sorted((workspace.platform.settings.landing / LOG_FOLDER).rglob("*.ndjson"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def api(workspace: Workspace, told: Told) -> Any:
    """What the API answers: published, unknown, scored by the champion with stored features, and by the fallback."""
    path = f"/v1/use-cases/{NAME}"
    ids = [told["entity"], told["erased"]]
    questions = [
        *(("GET", f"{path}/predictions/{one}", None) for one in ids),
        ("POST", f"{path}/predictions:batchGet", {"ids": ids}),
        ("POST", f"{path}/score", {"entity_id": told["entity"], "features": {"days_since_last_purchase": 9}}),
        ("POST", f"{path}/score", {"entity_id": told["erased"], "features": BASKET}),
    ]
    found = asyncio.run(asked(workspace.platform.settings, workspace.catalog, told["key"], questions))
    # What the fallback says is as of now.
    return [[status, body | ({"as_of": ""} if body.get("source") == "fallback" else {})] for status, body in found]


def traces(workspace: Workspace, told: Told) -> Any:
    """What was served at each moment at which something became active; and of an erased person."""
    use_case, moments = workspace.catalog.use_case(NAME), [*told["moments"], told["read_at"]]
    found = {at: trace(workspace.platform, use_case, told["entity"], datetime.fromisoformat(at)) for at in moments}
    found["erased"] = trace(workspace.platform, use_case, told["erased"], datetime.fromisoformat(told["read_at"]))
    return {at: asdict(one) for at, one in found.items()}


def commands(workspace: Workspace, told: Told) -> Any:
    """What is printed by the commands that look: exit code and JSON."""
    entity, now = told["entity"], told["read_at"]
    code, costs = command("costs", "--month", now[:7])
    return {
        "show": command("show", NAME, entity),
        "status": command("status", NAME),
        "trace": command("trace", NAME, entity, "--at", now),
        "costs": [code, {name: costs[name] for name in ("total", "use_cases", "assets")}],
        "rejected": command("rows", "raw/transactions__rejected", "--sql", "SELECT day, reason, row FROM t"),
    }


SECTIONS: dict[str, Callable[[Workspace, Told], Any]] = {
    read.__name__: read
    for read in (
        *(settings, tables, merged, retained, online, registry, keys, erased, answers, api, traces, commands),
        *(runs, made, checks, backfills, lacks, alerts, switches),
    )
}


def read(section: str, workspace: Workspace, told: Told) -> Any:
    """A section as JSON keeps it."""
    found = json.loads(json.dumps(SECTIONS[section](workspace, told), default=text))
    return without(found, WORDS) if section in WORDED else found
