"""A version of `latest` as the documents that the online store holds.

Here: the SQL of a document's text, of the differences between two versions, and of their count and digest. Not here:
publishing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.pipeline.windows import as_of
from serving_assets.store import digest_sql

ISO = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Stamp:
    """What all documents of a generation have in common, and therefore do not repeat."""

    day: date
    model_version: str

    def as_of(self, timezone: str) -> str:
        """The instant that the predictions speak of, ISO 8601 in UTC."""
        return as_of(self.day, timezone).astimezone(UTC).strftime(ISO)

    @classmethod
    def of(cls, as_of_text: str, model_version: str, timezone: str) -> Stamp:
        """The stamp of a published generation, read back from its instant."""
        instant = datetime.strptime(as_of_text, ISO).replace(tzinfo=UTC)
        return cls(instant.astimezone(ZoneInfo(timezone)).date() - timedelta(days=1), model_version)


def stamp_sql() -> str:
    """SQL over `snapshot`: the day and model of its newest prediction."""
    return """
        SELECT max(scored_for) AS day, arg_max(model_version, (scored_for, scored_at, run_id)) AS model_version
        FROM snapshot
    """


def documents_sql(use_case: BoundUseCase, table: str, stamp: Stamp) -> str:
    """SQL of `(id, text)`, one a row of `table`: canonical JSON, rounded, naming only what differs from `stamp`."""
    predictions = use_case.spec.predictions
    values = ", ".join(f"'{c}': round(\"{c}\", {predictions.precision})" for c in predictions.columns)
    ends = f"timezone('UTC', timezone('{use_case.domain.timezone}', CAST(scored_for + 1 AS TIMESTAMP)))"
    return f"""
        SELECT "{use_case.spec.entity.key}" AS id,
               '{{"v":' || CAST(to_json({{{values}}}) AS VARCHAR)
               || CASE WHEN scored_for = DATE '{stamp.day}' THEN ''
                  ELSE ',"as_of":"' || strftime({ends}, '{ISO}') || '"' END
               || CASE WHEN model_version = '{stamp.model_version}' THEN ''
                  ELSE ',"model_version":' || CAST(to_json(model_version) AS VARCHAR) END
               || '}}' AS text
        FROM "{table}"
    """


def total_sql(documents: str) -> str:
    """SQL of `(rows, digest)` over documents; the digest as text, because Arrow has no unsigned 128 bits."""
    return f"SELECT count(*) AS rows, CAST({digest_sql('id', 'text')} AS VARCHAR) AS digest FROM ({documents})"


def changes_sql(old: str | None, new: str, sample_stride: int) -> str:
    """SQL of `(id, old, new)`: the documents that differ, and one in `sample_stride` of the others to verify."""
    if old is None:
        return f"SELECT id, CAST(NULL AS VARCHAR) AS old, text AS new FROM ({new})"
    return f"""
        SELECT coalesce(o.id, n.id) AS id, o.text AS old, n.text AS new
        FROM ({old}) AS o FULL JOIN ({new}) AS n ON o.id = n.id
        WHERE o.text IS DISTINCT FROM n.text OR hash(n.id) % {sample_stride} = 0
    """
