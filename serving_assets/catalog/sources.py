"""What upstream systems deliver: the declaration of a source, of its files and of the contract of its rows.

Here: the declaration. Not here: what is made of it (spec.py), or reading files (landing/files.py).
"""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from serving_assets.catalog.checks import TableChecks
from serving_assets.catalog.columns import Column, Name, Owners, Share, Spec
from serving_assets.catalog.compute import Compute


def _landed_columns(columns: dict[str, Column]) -> dict[str, Column]:
    seen: dict[str, str] = {}
    for name in columns:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is not a column name: use letters, digits and underscores, a letter first")
        if name.startswith("_") or name.lower() == DAY:
            raise ValueError(f"{name!r} is a name of the platform: rename the column at the source")
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise ValueError(f"{other!r} and {name!r} are one column, because case does not count: rename one")
    return columns


LandedColumns = Annotated[dict[str, Column], Field(min_length=1), AfterValidator(_landed_columns)]

DAY = "day"
"""The partition column of every daily table: the local day whose end is `$as_of`."""


Format = Literal["parquet", "csv", "ndjson"]


def _one_character(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value in "\r\n\0":
        raise ValueError(f"{value!r} is not one character of ASCII; write a single one, such as ';' or '\\t'")
    return value


def _encoding(value: str) -> str:
    try:
        if "a".encode(value) != b"a":
            raise ValueError(f"{value!r} does not keep ASCII as it is: have the file delivered as UTF-8")
    except LookupError as error:
        raise ValueError(f"{value!r} is not an encoding: use a name that Python knows, such as latin-1") from error
    return codecs.lookup(value).name


Character = Annotated[str, AfterValidator(_one_character)]


class Csv(Spec):
    """How the CSV files of a source are written; they have a header, and quotes are doubled inside quotes.

    Numbers of the declared columns have `decimal` as their sign, and no other; an exponent may follow, separators of
    thousands may not.
    """

    delimiter: Character = ","
    decimal: Literal[".", ","] = "."
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    quote: Character = '"'

    @model_validator(mode="after")
    def _told_apart(self) -> Csv:
        if self.delimiter == self.quote:
            raise ValueError(f"delimiter and quote are both {self.quote!r}; declare another one for either")
        return self


class Source(Spec):
    """Files of one upstream system, and the contract their rows must keep.

    A daily source lands in `LANDING_URI/<name>/dt=YYYY-MM-DD/`, a snapshot in `LANDING_URI/<name>/`. Rows that break
    the contract are quarantined with the reason, never dropped. Text is UTF-8, and CSV as `csv` says, with a header. A
    snapshot that does not change for longer than `renewed_every_days` is stale; None: it may stay as it is.

    Of several rows of a day, or of a snapshot, with the same key, `same_key` decides: the one of the newest file is
    accepted, or of the oldest, or none of them (`refuse`); the others are quarantined. The newest file is the one that
    was written last; of files written at the same time, the one whose name sorts last. Within one file the first row
    counts.

    Files whose names match one of `ignored_files` (`*` and `?` as in a shell, case does not count) hold no rows; every
    other file that is not read is reported by a check.
    """

    name: Name
    description: str
    owners: Owners
    delivery: Literal["daily", "snapshot"]
    format: Format = "parquet"
    csv: Csv = Csv()
    columns: LandedColumns
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    event_time: str | None = None
    same_key: Literal["newest_file", "oldest_file", "refuse"] = "newest_file"
    may_be_empty: bool = False
    ignored_files: tuple[str, ...] = ("_SUCCESS", "_committed_*", "_started_*", "*.crc")
    renewed_every_days: PositiveInt | None = None
    rejected_warn: Share = 0.001
    rejected_error: Share = 0.01
    checks: TableChecks = TableChecks()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _columns_exist(self) -> Source:
        for column in (*self.key, *([self.event_time] if self.event_time else [])):
            if column not in self.columns:
                raise ValueError(f"column {column!r} is not among columns ({', '.join(self.columns)}); declare it")
        if self.delivery == "daily" and self.event_time is None:
            raise ValueError("a daily source needs event_time, the column that assigns a row to its day")
        if self.event_time and self.columns[self.event_time].dtype not in ("timestamp", "date"):
            raise ValueError(f"event_time {self.event_time!r} must be a timestamp or a date")
        if self.csv != Csv() and self.format != "csv":
            raise ValueError(f"csv is for files of the format csv, not of {self.format}; remove it")
        if self.delivery == "daily" and self.renewed_every_days:
            raise ValueError("renewed_every_days is for snapshots: a daily source is due every day; remove it")
        return self

    def never_empty(self, column: str) -> bool:
        """Whether a row without a value in `column` breaks the contract."""
        return self.columns[column].required or column in (*self.key, self.event_time)
