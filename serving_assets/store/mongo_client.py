"""A MongoDB deployment as the online store uses it: how it is reached, and what things are called there.

Here: the client's options, the names of databases and collections, the indexes, causal reads. Not here: what
documents look like (mongo_documents.py), or any command of the protocol (mongo.py).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bson.timestamp import Timestamp
from pymongo import IndexModel, MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConfigurationError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri

from serving_assets.errors import InputError
from serving_assets.store.mongo_documents import Fields, check_name
from serving_assets.store.mongo_errors import explained

CONTROL = "_control"
"""The collection of the control records; documents are in a collection of the name that the protocol uses."""

INDEXES = (IndexModel("cur.g"), IndexModel("cur.gone", sparse=True))
"""For the documents to repair and the tombstones to remove. Readers and publishes need `_id` alone."""

MAJORITY = ReadConcern("majority")
LOCAL = ReadConcern("local")
ANSWER_SECONDS = 120.0
"""How long one command may take: to count the documents of a large collection takes some."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which deployment, and how it is used. What the URI itself says has precedence over all but the database.

    Attributes:
        uri: `mongodb://` or `mongodb+srv://`; never printed.
        database: where collections are kept; what is empty is the URI's, or else `serving_assets`.
        write_concern: `majority`, or a number of members: with fewer than the majority a failover may lose what
            readers have seen.
        read_preference: which members answer reads of documents, by its name in MongoDB's manual. Control records
            are always read from the primary.
        writers: how many bulks of one publish are under way at once.
        timeout_seconds: how long to look for a server, which is also how long an election may last.
    """

    uri: str
    database: str = ""
    write_concern: str = "majority"
    read_preference: str = "primary"
    writers: int = 4
    timeout_seconds: float = 30.0

    def __repr__(self) -> str:
        return f"Deployment({self.database or 'serving_assets'})"

    def parsed(self) -> Mapping[str, Any]:
        """Hosts, database and options of the URI.

        Raises:
            InputError: it is none. The message quotes nothing that may belong to the password.
        """
        try:
            return parse_uri(self.uri)
        except (PyMongoError, ValueError, TypeError) as error:
            stated = str(error)
            secret = [part for part in re.split("[:@/]", self.uri.partition("://")[2].rpartition("@")[0]) if part]
            quoted = "" if any(part in stated for part in secret) else f": {stated.rstrip('.')}"
            raise InputError(
                f"MONGODB_URI cannot be used{quoted}.",
                hint="It must look like mongodb://user:password@host:27017/?option=value, with user and password"
                " percent-encoded.",
            ) from None

    def options(self) -> dict[str, Any]:
        """The client's options besides the URI: our defaults for what the URI leaves open."""
        stated = {name.lower() for name in self.parsed()["options"]}
        concern: int | str = int(self.write_concern) if self.write_concern.isdigit() else self.write_concern
        milliseconds = round(self.timeout_seconds * 1000)
        defaults = {
            "w": concern,
            "readPreference": self.read_preference,
            "serverSelectionTimeoutMS": milliseconds,
            # Less than the search, so that its error can tell why no server was found.
            "connectTimeoutMS": min(milliseconds // 2, 10_000),
            "socketTimeoutMS": round(ANSWER_SECONDS * 1000),
            "appname": "serving-assets",
        }
        return {name: value for name, value in defaults.items() if name.lower() not in stated}

    def where(self) -> str:
        """Its hosts."""
        return ", ".join(f"{host}:{port}" for host, port in self.parsed()["nodelist"])

    def database_name(self) -> str:
        """The database, by setting, or by URI, or by default."""
        return self.database or self.parsed()["database"] or "serving_assets"

    def reads_primary(self) -> bool:
        """Whether all reads are answered by the primary, so that none needs a causal session."""
        return str(self.parsed()["options"].get("readPreference", self.read_preference)).lower() == "primary"


class Connection:
    """The client of this process, made at its first use, and anew in a forked child: sockets are not shared."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._lock = threading.Lock()
        self._client: MongoClient[Fields] | None = None
        self._process = 0
        self._read_until: tuple[Mapping[str, Any], Timestamp] | None = None

    def explained(self) -> AbstractContextManager[None]:
        """Raise the driver's errors in our words."""
        return explained(self._where)

    @cached_property
    def _where(self) -> str:
        return self._deployment.where()

    @cached_property
    def _reads_primary(self) -> bool:
        return self._deployment.reads_primary()

    def controls(self) -> Collection[Fields]:
        """The control records: what a majority has confirmed, from the primary."""
        return self._database()[CONTROL].with_options(read_concern=MAJORITY)

    def documents(self, collection: str) -> Collection[Fields]:
        """The documents of `collection` for a writer: from the primary, with all of the client's options.

        Raises:
            InputError: there can be no collection of this name.
        """
        check_name(collection)
        return self._database()[collection].with_options(read_concern=LOCAL)

    def documents_for_readers(self, collection: str) -> Collection[Fields]:
        """The documents of `collection` from the members that are to answer reads."""
        if self._reads_primary:
            return self.documents(collection)
        preference = self._of_this_process().read_preference
        return self._database()[collection].with_options(read_concern=MAJORITY, read_preference=preference)

    @contextmanager
    def causal(self) -> Iterator[ClientSession | None]:
        """A session in which every read sees at least what any earlier one of this process saw.

        Without it a secondary might answer with documents older than the control record that says what they hold. The
        primary alone needs none.
        """
        if self._reads_primary:
            yield None
            return
        with self._of_this_process().start_session(causal_consistency=True) as session:
            if self._read_until:
                session.advance_cluster_time(self._read_until[0])
                session.advance_operation_time(self._read_until[1])
            yield session
            if session.cluster_time and session.operation_time:
                with self._lock:
                    if not self._read_until or session.operation_time > self._read_until[1]:
                        self._read_until = session.cluster_time, session.operation_time

    def close(self) -> None:
        """Close the sockets of this process; a later use opens new ones."""
        with self._lock:
            if self._client and self._process == os.getpid():
                self._client.close()
            self._client = None

    def _database(self) -> Database[Fields]:
        client = self._of_this_process()
        return client.get_database(self._deployment.database_name(), read_preference=ReadPreference.PRIMARY)

    def _of_this_process(self) -> MongoClient[Fields]:
        with self._lock:
            if self._client is None or self._process != os.getpid():
                self._client = MongoClient(self._deployment.uri, **self._deployment.options())
                self._process = os.getpid()
                if not self._client.write_concern.acknowledged:
                    raise ConfigurationError("writes that no member confirms (w=0) cannot be published")
            return self._client
