"""What the faults of a MongoDB deployment are called, and which of them may pass.

Here: the driver's errors as ours, each with the setting to look at. Not here: who waits and tries again (mongo.py).

No text of ours holds the URI, nor does an error of ours keep the driver's as its cause: those quote documents and may
quote parts of a URI that was mistyped, the password among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    InvalidName,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)

from serving_assets.errors import InputError, ServingAssetsError
from serving_assets.store.records import StoreError

DUPLICATE_KEY = 11000
SAME = "Readers keep the active generation; run again when it is fixed."
TLS = re.compile(r"\bSSL\b|\bTLS\b|certificate", re.IGNORECASE)

HINTS: dict[int, tuple[str, str]] = {
    13: ("this user may not do that", "Give the user of MONGODB_URI the role readWrite on the database."),
    18: ("the login failed", "Check user, password, authSource and authMechanism in MONGODB_URI."),
    8000: ("the login failed", "Check user, password, authSource and authMechanism in MONGODB_URI."),
    64: ("the write was not confirmed by enough members", "Look at the members' state and MONGODB_WRITE_CONCERN."),
    79: ("the write concern is not known there", "Correct MONGODB_WRITE_CONCERN."),
    100: ("there are not enough members for the write concern", "Add members or lower MONGODB_WRITE_CONCERN."),
    10334: ("a document is too large", "Publish fewer or shorter columns; a document may have 16 MB."),
    14031: ("the server's disk is full", "Free space there."),
}


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise the driver's errors as StoreError or InputError, each naming `where` and the fix."""
    try:
        yield
    except (PyMongoError, BSONError, DocumentTooLarge, OSError) as error:
        raise explain(error, where) from None


def explain(error: Exception, where: str) -> ServingAssetsError:
    """The driver's `error` in our words."""
    if isinstance(error, ConfigurationError):
        return InputError(
            f"MongoDB at {where}: {_short(error)}.",
            hint="Correct MONGODB_URI, MONGODB_WRITE_CONCERN or MONGODB_READ_PREFERENCE.",
        )
    if isinstance(error, OperationFailure):
        code, reason = _refusal(error)
        found, hint = HINTS.get(code, ("the server refused", "Look the code up in MongoDB's manual."))
        return StoreError(f"MongoDB at {where}: {found} (code {code}: {reason}).", hint=f"{hint} {SAME}")
    found, hint = _kind(error)
    return StoreError(f"MongoDB at {where} {found}: {_short(error)}.", hint=f"{hint} {SAME}")


def may_pass(error: Exception) -> bool:
    """Whether the driver says that the same command may succeed if sent again.

    A server that was looked for in vain has been waited for already.
    """
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    if isinstance(error, PyMongoError) and error.has_error_label("RetryableWriteError"):
        return True
    return isinstance(error, AutoReconnect) and not _is_tls(error)


def duplicates(error: BulkWriteError) -> set[int]:
    """The positions of the operations that met a document which exists already.

    Raises:
        BulkWriteError: there was another error too; the same one, without the duplicates.
    """
    details = error.details
    others = [found for found in details["writeErrors"] if found["code"] != DUPLICATE_KEY]
    if others or details["writeConcernErrors"]:
        raise BulkWriteError({**details, "writeErrors": others}) from None
    return {found["index"] for found in details["writeErrors"]}


def _kind(error: Exception) -> tuple[str, str]:
    if _is_tls(error):
        return "does not agree on TLS", "Check tls, tlsCAFile and the host name in MONGODB_URI."
    if isinstance(error, ServerSelectionTimeoutError):
        return (
            "is out of reach",
            "Check that it runs, the host and port in MONGODB_URI, and MONGODB_TIMEOUT_SECONDS.",
        )
    if isinstance(error, NetworkTimeout | WaitQueueTimeoutError):
        return "does not answer in time", "Look at its load and the network; MONGODB_TIMEOUT_SECONDS is the limit."
    if isinstance(error, NotPrimaryError | AutoReconnect):
        return "broke the connection off, and did so again when asked anew", "Look at its log."
    if isinstance(error, InvalidName):
        return "has names that it does not allow", "Correct MONGODB_DATABASE."
    return "cannot be used", "Look at its log, and at the versions of the server and of pymongo."


def _is_tls(error: Exception) -> bool:
    return bool(TLS.search(str(error)))


def _refusal(error: OperationFailure) -> tuple[int, str]:
    """Code and text of what was refused, of a bulk the first; never the documents, which the driver's text quotes."""
    if isinstance(error, BulkWriteError):
        found = [*error.details.get("writeErrors", []), *error.details.get("writeConcernErrors", [])][0]
        return int(found.get("code") or 0), _first_line(found.get("errmsg", ""))
    details = error.details or {}
    return int(error.code or 0), _first_line(details.get("errmsg", str(error)))


def _short(error: Exception) -> str:
    """The driver's text without what it repeats of the configuration and the topology."""
    return _first_line(re.split(r" \(configured timeouts|, Timeout: |, Topology Description", str(error))[0])


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".")[:300]
