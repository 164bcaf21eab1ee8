"""What every materialization records: rows, seconds, CPU, memory, schema and lineage.

Here: measuring a step and the metadata that the UI shows. Not here: numbers that only one stage has.
"""

from __future__ import annotations

import base64
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from serving_assets.catalog.columns import SQL_TYPES, Column
from serving_assets.catalog.lineage import Lineage
from serving_assets.catalog.spec import DAY
from serving_assets.errors import DeclarationError, InputError, RefusedInput
from serving_assets.lake import DayRange, LakeTable, Written

LINEAGE = "dagster/column_lineage"
CAUSE = "cause"
"""Metadata key of a failure that another one explains: the asset and its check that failed."""
HINT, HINT_BEFORE_0_2 = "hint", "mend"
"""Metadata key of a failure that says how to fix it, and the one in event logs of releases before 0.2."""
P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Cost:
    """What a step took: wall and CPU seconds, and the process's peak memory meanwhile, in MiB."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mib: float = 0.0

    def metadata(self) -> dict[str, Any]:
        """Return its rows in the UI."""
        return {
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_memory_mib": round(self.peak_memory_mib, 1),
        }


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block; the numbers are there when it ends."""
    cost, wall, cpu = Cost(), time.perf_counter(), time.process_time()
    _reset_peak()
    try:
        yield cost
    finally:
        cost.seconds, cost.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        cost.peak_memory_mib = _peak_mib()


def _reset_peak() -> None:
    """Reset the kernel's high-water mark, so that each step of one process has its own; only Linux can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _peak_mib() -> float:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def described(
    table: str | None,
    *files: Path,
    columns: Mapping[str, Column] | None = None,
    key: tuple[str, ...] = (),
    lineage: dg.TableColumnLineage | None = None,
) -> dict[str, Any]:
    """Return what the UI shows of an asset before it was ever made: table, columns, lineage, and its files."""
    references = [dg.LocalFileCodeReference(file_path=str(path), line_number=1, label=path.name) for path in files]
    metadata: dict[str, Any] = {
        "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=references),
    }
    if table is not None:
        metadata["dagster/table_name"] = table
    if columns is not None:
        metadata["dagster/column_schema"] = _table_schema(columns, key, lineage)
    if lineage is not None:
        metadata[LINEAGE] = lineage
    return metadata


def _table_schema(
    columns: Mapping[str, Column], key: tuple[str, ...], lineage: dg.TableColumnLineage | None
) -> dg.TableSchema:
    """The columns with their descriptions, which also name their origins: the UI shows no lineage of columns."""
    origins = lineage.deps_by_column if lineage else {}
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                SQL_TYPES[column.dtype],
                description=_described_column(column, origins.get(name, ())),
                constraints=dg.TableColumnConstraints(
                    nullable=not (column.required or name in key), other=_bounds(column)
                ),
            )
            for name, column in columns.items()
        ]
    )


def _described_column(column: Column, origins: Iterable[dg.TableColumnDep]) -> str | None:
    names = ", ".join(f"{origin.asset_key.to_user_string()}.{origin.column_name}" for origin in origins)
    return " ".join(filter(None, [column.description, f"Comes from {names}." if names else ""])) or None


def _bounds(column: Column) -> list[str]:
    violation = column.bounds.violation_sql("value")
    return [f"never {violation}"] if violation else []


def table_lineage(lineage: Lineage, keys: Mapping[str, dg.AssetKey]) -> dg.TableColumnLineage:
    """Return column lineage as the UI shows it; `keys` maps the tables that the SQL names to assets."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=keys[table], column_name=name) for table, name in origins]
            for column, origins in lineage.items()
            if origins
        }
    )


def handed_on(columns: Iterable[str], upstream: dg.AssetKey) -> dict[str, list[dg.TableColumnDep]]:
    """Return the lineage of columns that are taken over from another table under the same name."""
    return {column: [dg.TableColumnDep(asset_key=upstream, column_name=column)] for column in columns}


def written_metadata(written: Written, cost: Cost, *, partitioned: bool = True) -> dict[str, Any]:
    """Return rows, bytes and version of a write, and what it cost."""
    return {
        "dagster/partition_row_count" if partitioned else "dagster/row_count": written.rows,
        "rows": written.rows,
        "bytes": written.bytes,
        "table_version": written.version,
        **cost.metadata(),
    }


def daily_metadata(table: LakeTable, days: DayRange, version: int) -> dict[date, dict[str, int]]:
    """Return rows and bytes of each day of a range that one step has written; from the log alone, no data is read."""
    rows, size = Counter[date](), Counter[date]()
    for file in table.scan({DAY: days}, version=version).files(check=False):
        day = file.partition[DAY]
        assert isinstance(day, date)
        rows[day] += file.rows
        size[day] += file.bytes
    return {
        day: {"dagster/partition_row_count": rows[day], "rows": rows[day], "bytes": size[day]} for day in days.days()
    }


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """Return a PNG that the UI shows in place."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})")


def hint_of(metadata: Mapping[str, dg.MetadataValue[Any]]) -> str:
    """Return the hint that a failure carries; empty where there is none."""
    found = metadata.get(HINT) or metadata.get(HINT_BEFORE_0_2)
    return str(found.value) if found else ""


def cause_of(metadata: Mapping[str, dg.MetadataValue[Any]]) -> str:
    """The asset and check whose failure explains this one, as `raw/lines:volume`; empty where there is none."""
    found = metadata.get(CAUSE)
    return str(found.value) if found else ""


def permanent_errors(step: Callable[P, R]) -> Callable[P, R]:
    """Fail at once, without the retries, where a retry would meet the same input or declaration."""

    @wraps(step)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return step(*args, **kwargs)
        except (InputError, DeclarationError) as error:
            metadata = {HINT: error.hint or "-"}
            if isinstance(error, RefusedInput):
                metadata[CAUSE] = error.cause
            raise dg.Failure(error.message, metadata=metadata, allow_retries=False) from error

    return run


RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what passes: a lost connection, another writer that was first."""
