"""What a use case publishes: a version of a table, as the documents that the online store holds.

Here: its collections, the SQL of a document's text and of the differences between two versions, and their count and
digest. Not here: publishing (publisher.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.catalog.names import activations_table, feature_activations_table
from serving_assets.catalog.spec import DAY
from serving_assets.catalog.timing import newest_ended_day
from serving_assets.engines.protocol import Engine, Input, Query
from serving_assets.errors import InputError
from serving_assets.lake import DayRange, Lake, Scan
from serving_assets.pipeline.days import as_of, as_of_sql
from serving_assets.store import Entity, Generation, columns_digest, document_digest
from serving_assets.store.digest import MODULUS

if TYPE_CHECKING:
    import pyarrow as pa

ISO = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Stamp:
    """What all documents of a generation have in common, and therefore do not repeat."""

    day: date
    model_version: str

    def as_of(self, timezone: str) -> str:
        """The instant that the documents speak of, ISO 8601 in UTC."""
        return as_of(self.day, timezone).strftime(ISO)

    @classmethod
    def of(cls, as_of_text: str, model_version: str, timezone: str) -> Stamp:
        """The stamp of a published generation, read back from its instant."""
        instant = datetime.strptime(as_of_text, ISO).replace(tzinfo=UTC)
        return cls(newest_ended_day(instant, timezone), model_version)


@dataclass(frozen=True)
class PublishedCollection:
    """One collection of the online store: which rows of the lake it serves, and what of each.

    Attributes:
        use_case: to which it belongs.
        name: in the store.
        asset: the asset that publishes it, below the use case.
        table: the table of the lake that holds the rows.
        publications: the table of the lake that remembers which generation was active when.
        key: the entity's column, unique among the rows that are served.
        day: the column with the local day at whose end a row looks.
        days: how many days back from the newest a row is served; None: as long as it is in the table.
        model_version: the column with the model behind a row, None where there is none.
        values: the SQL expression of each published value.
        timezone: of `day`.
    """

    use_case: str
    name: str
    asset: str
    table: str
    publications: str
    key: str
    day: str
    days: int | None
    model_version: str | None
    values: Mapping[str, str]
    timezone: str


def predictions_of(use_case: BoundUseCase) -> PublishedCollection:
    """The predictions of a use case: its table `latest`."""
    spec = use_case.spec
    return PublishedCollection(
        use_case=use_case.name,
        name=use_case.predictions_collection,
        asset="online",
        table=use_case.lake_name("latest"),
        publications=activations_table(use_case.name),
        key=spec.entity.key,
        day="scored_for",
        days=None,
        model_version="model_version",
        values={name: f'round("{name}", {spec.predictions.precision})' for name in spec.predictions.columns},
        timezone=use_case.domain.timezone,
    )


def features_of(use_case: BoundUseCase) -> PublishedCollection | None:
    """The online features of a use case: its newest feature rows; None when it declares none."""
    spec = use_case.spec
    declared = spec.online_features
    if declared is None:
        return None
    return PublishedCollection(
        use_case=use_case.name,
        name=use_case.features_collection,
        asset="online_features",
        table=use_case.lake_name("features"),
        publications=feature_activations_table(use_case.name),
        key=spec.entity.key,
        day=DAY,
        days=declared.days,
        model_version=None,
        values={
            name: _feature(name, use_case.feature_schema[name], precision)
            for name, precision in use_case.online_columns.items()
        },
        timezone=use_case.domain.timezone,
    )


def collections_of(use_case: BoundUseCase) -> list[PublishedCollection]:
    """All that a use case publishes, the predictions first."""
    predictions = predictions_of(use_case) if use_case.spec.serve.published else None
    return [found for found in (predictions, features_of(use_case)) if found]


def _feature(name: str, dtype: str, precision: int | None) -> str:
    if not dtype.startswith("float"):
        return f'"{name}"'
    value = f'CAST("{name}" AS DOUBLE)'
    rounded = value if precision is None else f"round({value}, {precision})"
    return f"CASE WHEN isfinite({value}) THEN {rounded} END"  # JSON has no other numbers


class Total(NamedTuple):
    """All documents of a snapshot: how many, their digest (see store/digest.py), and the bytes of their texts."""

    rows: int
    digest: int
    bytes: int


@dataclass(frozen=True)
class PublishedDocuments:
    """A version of a collection's table, as documents."""

    collection: PublishedCollection
    scan: Scan
    stamp: Stamp

    @property
    def as_of(self) -> str:
        """The instant that its documents speak of, unless they say otherwise."""
        return self.stamp.as_of(self.collection.timezone)

    @property
    def form(self) -> str:
        """Names how its rows are made into documents: rows of one version in one form are the same documents."""
        made = document_digest(self.collection.days or 0, self.documents_sql("snapshot"))
        return f"{made:016x}"

    def documents_sql(self, table: str) -> str:
        """SQL of `(id, text)` over the scan under the name `table`; see `documents_sql`."""
        return documents_sql(self.collection, table, self.stamp)

    def total(self, engine: Engine) -> Total:
        """Count, digest and size of all documents, in bounded memory."""
        rows = digest = size = 0
        for batch in self._batches(engine):
            entities, texts = map(python_values, batch.columns)
            rows += len(texts)
            digest += columns_digest(entities, texts)
            size += text_bytes(batch.column(1))
        return Total(rows, digest % MODULUS, size)

    def documents(self, engine: Engine) -> Iterator[tuple[Entity, str]]:
        """Every document, in any order, in bounded memory."""
        for batch in self._batches(engine):
            yield from zip(*map(python_values, batch.columns), strict=True)

    def _batches(self, engine: Engine) -> Iterator[pa.RecordBatch]:
        return engine.stream(Query(self.documents_sql("snapshot"), {"snapshot": Input(self.scan)}))


def python_values(column: pa.Array) -> list[Any]:
    """What `column.to_pylist()` gives for ids and texts, made in bulk."""
    values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
    return values


def text_bytes(column: pa.Array) -> int:
    """How many bytes the texts of `column` have together."""
    import pyarrow.compute as pc

    return pc.sum(pc.binary_length(column)).as_py() or 0


def newest_documents(collection: PublishedCollection, engine: Engine, lake: Lake) -> PublishedDocuments:
    """What is to be published now.

    Raises:
        InputError: the table has no rows.
    """
    table = lake.table(collection.table)
    scan = table.scan() if table.exists() else None
    if scan is None or not scan.rows():
        raise InputError(
            f"{collection.table} is empty, so there is nothing to publish.",
            hint=f"Materialize {collection.table} first.",
        )
    day, model_version = f'"{collection.day}"', "''"
    if collection.model_version:
        model_version = f"arg_max({collection.model_version}, (scored_for, scored_at, run_id))"
    if collection.days is None:
        sql = f"SELECT max({day}) AS day, {model_version} AS model_version FROM snapshot"
        newest = engine.collect(Query(sql, {"snapshot": Input(scan)})).to_pylist()[0]
        return PublishedDocuments(collection, scan, Stamp(newest["day"], newest["model_version"]))
    stamp = Stamp(max(table.partitions(collection.day, version=scan.version)), "")
    return PublishedDocuments(collection, scan.narrowed({collection.day: _window(collection.days, stamp.day)}), stamp)


def documents_of(collection: PublishedCollection, generation: Generation, lake: Lake) -> PublishedDocuments:
    """What was published as `generation`.

    Raises:
        InputError: the lake no longer has this version of the table, the table lacks a column declared since, or the
            collection is no longer declared.
    """
    if not collection.values:
        raise InputError(
            f"{collection.name} is no longer declared, so its documents cannot be made from the lake.",
            hint=f"Bring the declaration of {collection.use_case} back, or end it: serving-assets retire"
            f" {collection.use_case}.",
        )
    stamp = Stamp.of(generation.as_of, generation.model_version, collection.timezone)
    where = {collection.day: _window(collection.days, stamp.day)} if collection.days else None
    scan = lake.table(collection.table).scan(where, version=generation.snapshot_version)
    scan.files()  # raises when one is missing
    if missing := sorted(set(collection.values) - set(scan.schema().names)):
        raise InputError(f"{collection.table} at version {scan.version} has no column {', '.join(missing)}.")
    return PublishedDocuments(collection, scan, stamp)


def _window(days: int, newest: date) -> DayRange:
    return DayRange(newest - timedelta(days=days - 1), newest)


def documents_sql(collection: PublishedCollection, table: str, stamp: Stamp) -> str:
    """SQL of `(id, text)`, one an entity: canonical JSON, rounded, naming only what differs from `stamp`."""
    values = ", ".join(f"'{name}': {expression}" for name, expression in collection.values.items())
    day, model = f'"{collection.day}"', collection.model_version
    ends = as_of_sql(day, collection.timezone, stamp.day)
    by_model = (
        f"""|| CASE WHEN {model} = '{stamp.model_version}' THEN ''
               ELSE ',"model_version":' || CAST(to_json({model}) AS VARCHAR) END"""
        if model
        else ""
    )
    newest = f'QUALIFY row_number() OVER (PARTITION BY "{collection.key}" ORDER BY {day} DESC) = 1'
    return f"""
        SELECT "{collection.key}" AS id,
               '{{"v":' || CAST(to_json({{{values}}}) AS VARCHAR)
               || CASE WHEN {day} = DATE '{stamp.day}' THEN ''
                  ELSE ',"as_of":"' || strftime({ends}, '{ISO}') || '"' END
               {by_model}
               || '}}' AS text
        FROM "{table}" {newest if (collection.days or 1) > 1 else ""}
    """


def changes_sql(old: str | None, new: str, sample_stride: int) -> str:
    """SQL of `(id, old, new)`: the documents that differ, and one in `sample_stride` of the others to verify.

    In the order of the ids, in which a store that keeps documents in a tree writes each of its pages once.
    """
    if old is None:
        return f"SELECT id, CAST(NULL AS VARCHAR) AS old, text AS new FROM ({new}) ORDER BY id"
    return f"""
        SELECT coalesce(o.id, n.id) AS id, o.text AS old, n.text AS new
        FROM ({old}) AS o FULL JOIN ({new}) AS n ON o.id = n.id
        WHERE o.text IS DISTINCT FROM n.text OR hash(n.id) % {sample_stride} = 0
        ORDER BY 1
    """
