"""The online store: what was published, held so that a read sees exactly one generation.

Here: the generation protocol and its stores. Not here: the lake that values come from, Dagster, the API that serves
them.

Start with protocol.py (the interface), read.py (which slot counts) and publication.py (why writing is safe).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving_assets.errors import InputError
from serving_assets.store.control_record import (
    RETIRE,
    Activation,
    Cause,
    Control,
    Generation,
    Lease,
    Pin,
    PublishTarget,
)
from serving_assets.store.digest import columns_digest, document_digest, total_digest
from serving_assets.store.maintain import drop_previous, parity, release, remove_tombstones, rollback, set_pin
from serving_assets.store.protocol import OnlineStore
from serving_assets.store.publication import Publication
from serving_assets.store.publish import publish
from serving_assets.store.read import read, scan
from serving_assets.store.records import (
    BareChange,
    DisagreementError,
    Document,
    DocumentChange,
    Entity,
    Found,
    Parity,
    PinnedError,
    PublishReport,
    Reading,
    StoreError,
)
from serving_assets.store.sqlite import SqliteStore

__all__ = [
    "RETIRE",
    "Activation",
    "BareChange",
    "Cause",
    "Control",
    "DisagreementError",
    "Document",
    "DocumentChange",
    "Entity",
    "Found",
    "Generation",
    "Lease",
    "OnlineStore",
    "Parity",
    "Pin",
    "PinnedError",
    "Publication",
    "PublishReport",
    "PublishTarget",
    "Reading",
    "SqliteStore",
    "StoreError",
    "columns_digest",
    "document_digest",
    "drop_previous",
    "open_store",
    "parity",
    "publish",
    "read",
    "release",
    "remove_tombstones",
    "rollback",
    "scan",
    "set_pin",
    "total_digest",
]

SQLITE = "sqlite:///"
MONGODB = ("mongodb://", "mongodb+srv://")


def open_store(uri: str, mongodb: Mapping[str, Any] | None = None) -> OnlineStore:
    """The store at `uri`: `sqlite:///relative/path`, `sqlite:////absolute/path`, `mongodb://` or `mongodb+srv://`.

    Args:
        mongodb: the settings of MongoStore besides its URI; other stores have no use for it.

    Raises:
        InputError: no store is known for `uri`.
    """
    if uri.startswith(MONGODB):
        from serving_assets.store.mongo import MongoStore

        return MongoStore(uri, **(mongodb or {}))
    path = uri.removeprefix(SQLITE)
    if not uri.startswith(SQLITE) or not path:
        raise InputError(
            f"No online store is known for the uri scheme {uri.partition(':')[0]!r}.",
            hint="Use sqlite:///relative/path or sqlite:////absolute/path, or mongodb://host/ as MONGODB_URI.",
        )
    return SqliteStore(Path(path))
