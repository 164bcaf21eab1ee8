"""The file of a local MLflow database, looked at before MLflow does.

Here: what keeps it from being opened, reported at once. Not here: what is in it (registry.py), or a server's database.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from serving_assets.errors import InputError, ServingAssetsError

SQLITE = "sqlite:///"
_SQLITE = b"SQLite format 3\0"


class RegistryUnavailable(ServingAssetsError):
    """MLflow does not answer; a retry may pass."""


class RegistryDamaged(RegistryUnavailable, InputError):
    """The registry's database is none; no retry will pass."""


def alias_in_database(path: Path, name: str, alias: str) -> str | None:
    """Return the version that `alias` of the model `name` names in the file of a local database, None without one.

    Read without MLflow, whose import alone takes two seconds of a command that shows one number.

    Raises:
        LookupError: the file or its tables are not there, or not as this version of the project knows them: ask MLflow.
    """
    wanted = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(wanted, [name, alias]).fetchall()
    except sqlite3.Error as error:
        raise LookupError(str(error)) from error
    if len(rows) > 1:
        raise LookupError(f"{len(rows)} workspaces have a model {name}.")
    return str(rows[0][0]) if rows else None


def prepare_database(path: Path) -> None:
    """Make the folder of the database, and refuse what is none: MLflow would try to open it for 100 seconds.

    Raises:
        RegistryDamaged: the folder cannot be made, or the file holds something else.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
    except FileNotFoundError:
        return
    except OSError as error:
        raise RegistryDamaged(
            f"MLflow's database {path} cannot be opened: {error.strerror}.",
            hint="Check that the folder exists and this user may write to it.",
        ) from error
    if head and head != _SQLITE:
        raise RegistryDamaged(
            f"MLflow at sqlite:///{path}: the file is not a SQLite database.",
            hint="Restore it from a backup, or move it away and train anew.",
        )
