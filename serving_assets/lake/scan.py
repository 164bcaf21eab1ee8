"""What a reader reads: the files of a table at one version.

Here: the description of a read, and the check that what the log names is there. Not here: the reading engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from serving_assets.errors import InputError
from serving_assets.lake import selection
from serving_assets.lake.log import DataFile, TableState
from serving_assets.lake.selection import PartitionValue, Where
from serving_assets.lake.storage import Storage

if TYPE_CHECKING:
    import pyarrow.dataset as pads


@dataclass(frozen=True)
class Scan:
    """A description of what is read: a table at a fixed version, pruned by partition. Nothing is read yet.

    Attributes:
        name: of the table, for errors.
        storage: the table's folder.
        state: the table at that version.
        only: the files meant, by their path inside the table; None for all that `where` selects.

    Raises:
        InputError: `where` names what is no partition column, or gives it a value of another type.
    """

    name: str
    storage: Storage = field(repr=False)
    state: TableState = field(repr=False)
    where: Where
    only: frozenset[str] | None = None

    def __post_init__(self) -> None:
        columns = self.state.partition_columns
        selection.validate(self.where, table=self.name, schema=self.state.schema, partition_columns=columns)

    @property
    def version(self) -> int:
        """The version that is read."""
        return self.state.version

    def files(self, *, check: bool = True) -> tuple[DataFile, ...]:
        """The data files, in a fixed order.

        Raises:
            InputError: when a file that the log names is missing or of another size, unless `check` is off.
        """
        chosen = self.state.select(self.where)
        files = tuple(file for file in chosen if self.only is None or file.path in self.only)
        if check:
            self._check_present(files)
        return files

    def rows(self) -> int:
        """Rows as the log counts them."""
        return sum(file.rows for file in self.files(check=False))

    def schema(self) -> pa.Schema:
        """The table's columns at this version, partition columns included; what a file lacks is null there."""
        return self.state.schema

    def narrowed(self, where: Where) -> Scan:
        """This scan with conditions on further columns.

        Raises:
            InputError: for a column that already has a condition; a second one could widen the scan.
        """
        if twice := sorted(where.keys() & self.where.keys()):
            raise InputError(
                f"The scan of {self.name} already has a condition on {twice[0]!r}.",
                hint="Begin with a scan without it.",
            )
        return replace(self, where={**self.where, **where})

    def dataset(self) -> pads.Dataset:
        """The rows for Arrow and pandas users, on any store; page checksums are verified when read."""
        import pyarrow.dataset as pads  # brings pandas with it, which nothing that only writes or lists should pay for

        schema = self.schema()
        options = pads.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)
        fmt = pads.ParquetFileFormat(default_fragment_scan_options=options)
        fragments = [
            fmt.make_fragment(
                file.path, self.storage.filesystem, partition_expression=_expression(file.partition, schema)
            )
            for file in self.files()
        ]
        return pads.FileSystemDataset(fragments, schema, fmt, self.storage.filesystem)

    def _check_present(self, files: tuple[DataFile, ...]) -> None:
        if not self.storage.is_local:
            return  # one request per file would cost more than the read that fails by itself
        stored = self.storage.find([file.path for file in files])
        for file, found in zip(files, stored, strict=True):
            if found is None or found.bytes != file.bytes:
                state = f"has {found.bytes:,} bytes, not the {file.bytes:,} of the log" if found else "is missing"
                raise InputError(
                    f"{self.name} at version {self.version}: the data file {file.uri} {state}.",
                    hint="Restore it from a backup, or materialize the partition again. From old versions, retention "
                    "removes files.",
                )


def _expression(partition: Mapping[str, PartitionValue | None], schema: pa.Schema) -> pc.Expression:
    expression = pc.scalar(True)
    for column, value in partition.items():
        here = pc.field(column)
        is_value = here.is_null() if value is None else here == pa.scalar(value, schema.field(column).type)
        expression = is_value if expression.equals(pc.scalar(True)) else expression & is_value
    return expression
