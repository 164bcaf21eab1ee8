"""Online: `latest` published to the online store as one generation.

Here: the asset, what differs between the published snapshot and `latest`, and the record of publications. Not here: the
protocol that makes it atomic (store/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import dagster as dg

from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.engines.query import Input, Query, Target
from serving_assets.errors import InputError
from serving_assets.failpoints import failpoint
from serving_assets.lake import LakeTable
from serving_assets.pipeline.checks.store_parity import STORE_PARITY, check_store_parity
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.report import described, measured
from serving_assets.pipeline.snapshot import Stamp, changes_sql, documents_sql, stamp_sql, total_sql
from serving_assets.pipeline.stages.latest import CHECKS
from serving_assets.pipeline.stages.step import Step, stage_asset
from serving_assets.store import Change, Control, Entity, PublishReport, StoreError, parity, publish
from serving_assets.store import Target as StoreTarget

VERIFIED_UNCHANGED = 100
"""How many unchanged documents a publish reads back, about."""


def describe_target(platform: Platform, use_case: BoundUseCase, latest: LakeTable, run_id: str) -> StoreTarget:
    """What the store must hold in total once the newest version of `latest` is published."""
    timezone = use_case.domain.timezone
    snapshot = Input(latest.scan())
    newest = platform.engine.collect(Query(stamp_sql(), {"snapshot": snapshot})).to_pylist()[0]
    if newest["day"] is None:
        raise InputError(
            f"{latest.name} is empty, so there is nothing to publish.", mend="Materialize predictions first."
        )
    stamp = Stamp(newest["day"], newest["model_version"])
    total = platform.engine.collect(
        Query(total_sql(documents_sql(use_case, "snapshot", stamp)), {"snapshot": snapshot})
    ).to_pylist()[0]
    return StoreTarget(
        as_of=stamp.as_of(timezone),
        model_version=stamp.model_version,
        snapshot_version=snapshot.scan.version,
        rows=total["rows"],
        digest=int(total["digest"]),
        run_id=run_id,
    )


def changes_to(
    platform: Platform, use_case: BoundUseCase, latest: LakeTable, target: StoreTarget, *, rewrite: bool = False
) -> Callable[[Control], Iterator[Change]]:
    """The documents in which the target differs from what is published, found in the lake alone; all with `rewrite`."""
    timezone = use_case.domain.timezone

    def changes(control: Control) -> Iterator[Change]:
        inputs = {"target": Input(latest.scan(version=target.snapshot_version))}
        old = None
        if (published := control.published) and not rewrite:
            inputs["published"] = before = Input(latest.scan(version=published.snapshot_version))
            if not set(use_case.spec.predictions.columns) <= set(before.scan.schema().names):
                raise InputError(f"Generation {published.number} of {use_case.name} lacks columns declared since.")
            old = documents_sql(use_case, "published", Stamp.of(published.as_of, published.model_version, timezone))
        new = documents_sql(use_case, "target", Stamp.of(target.as_of, target.model_version, timezone))
        stride = max(target.rows // VERIFIED_UNCHANGED, 1)
        for batch in platform.engine.stream(Query(changes_sql(old, new, stride), inputs)):
            yield from map(Change, *(column.to_pylist() for column in batch.columns))

    return changes


def record_publication(
    platform: Platform, table: LakeTable, control: Control | None, report: PublishReport | None = None
) -> None:
    """Keep who was served what from when on, once per generation."""
    active = control.published if control else None
    if active is None or active.number in table.partitions("generation"):
        return
    written = (report.changed, report.removed) if report and report.generation == active.number else (None, None)
    sql = """
        SELECT CAST($number AS BIGINT) AS generation, CAST($published_at AS TIMESTAMPTZ) AS published_at,
               CAST($as_of AS TIMESTAMPTZ) AS as_of, CAST($model_version AS VARCHAR) AS model_version,
               CAST($snapshot_version AS BIGINT) AS snapshot_version, CAST($rows AS BIGINT) AS rows,
               CAST($changed AS BIGINT) AS changed, CAST($removed AS BIGINT) AS removed,
               CAST($digest AS VARCHAR) AS digest, CAST($run_id AS VARCHAR) AS run_id
    """
    parameters = {
        "number": active.number,
        "published_at": datetime.fromisoformat(active.published_at),
        "as_of": datetime.fromisoformat(active.as_of),
        "model_version": active.model_version,
        "snapshot_version": active.snapshot_version,
        "rows": active.rows,
        "changed": written[0],
        "removed": written[1],
        "digest": str(active.digest),
        "run_id": active.run_id,
    }
    platform.engine.transform(
        [Query(sql, {}, parameters)], Target(table, {"generation": active.number}, ("generation",))
    )


def online_asset(use_case: BoundUseCase, platform: Platform) -> dg.AssetsDefinition:
    """The asset `<use_case>/online`."""
    return stage_asset(
        dg.AssetKey([use_case.name, "online"]),
        partial(_publish, use_case),
        group="online",
        description="What readers get: latest, published as one generation, all of it or nothing.",
        owners=use_case.spec.owners,
        kinds={platform.settings.store.partition(":")[0]},
        deps=[dg.AssetKey([use_case.name, "latest"])],
        checks=(STORE_PARITY,),
        metadata=described(use_case.name, use_case.folder / "use_case.py"),
        pool=f"{use_case.name}_online",
    )


def _publish(use_case: BoundUseCase, step: Step) -> dg.MaterializeResult[Any]:
    p = step.platform
    step.refuse_failed("latest", CHECKS)
    latest = p.lake.table(use_case.lake_name("latest"))
    publications = p.lake.table(use_case.lake_name("publications"))
    record_publication(p, publications, p.store.control(use_case.name))  # a killed run may have left it to us
    with measured() as cost:
        target = describe_target(p, use_case, latest, step.run_id)
        report = _publish_target(use_case, step, latest, target)
    failpoint("online.before_publication_row")
    record_publication(p, publications, p.store.control(use_case.name), report)
    found = parity(p.store, use_case.name, target.rows, target.digest)
    verdict = check_store_parity(found, p.store, use_case.name, partial(_documents, p, use_case, latest, target))
    return step.result(_facts(report, target) | cost.metadata(), [verdict])


def _publish_target(use_case: BoundUseCase, step: Step, latest: LakeTable, target: StoreTarget) -> PublishReport:
    """Write what has changed; all of it when the store is not what the lake says was published.

    That is so after damage, when the lake has forgotten the snapshot that was published, and when the declaration of
    the documents (their columns, their precision) has changed.
    """
    p = step.platform

    def write(rewrite: bool) -> PublishReport:
        changes = changes_to(p, use_case, latest, target, rewrite=rewrite)
        told = _progress(step, target.rows)
        return publish(p.store, use_case.name, changes, target, writer=step.run_id, rewrite=rewrite, progress=told)

    if step.failed(STORE_PARITY):
        return write(rewrite=True)
    try:
        return write(rewrite=False)
    except (StoreError, InputError) as error:
        step.context.log.warning(f"{error} Every document is written anew.")
        return write(rewrite=True)


def _documents(
    platform: Platform, use_case: BoundUseCase, latest: LakeTable, target: StoreTarget
) -> Iterator[tuple[Entity, str]]:
    """The documents that readers must get."""
    stamp = Stamp.of(target.as_of, target.model_version, use_case.domain.timezone)
    snapshot = Input(latest.scan(version=target.snapshot_version))
    query = Query(documents_sql(use_case, "snapshot", stamp), {"snapshot": snapshot})
    for batch in platform.engine.stream(query):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _facts(report: PublishReport, target: StoreTarget) -> dict[str, Any]:
    written = report.changed + report.removed
    return {
        "generation": report.generation,
        "rows": report.rows,
        "changed": report.changed,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "repaired": report.repaired,
        "documents_per_second": round(written / report.seconds) if report.seconds else 0,
        "digest": f"{report.digest:016x}",
        "as_of": target.as_of,
        "model_version": target.model_version,
    }


def _progress(step: Step, rows: int) -> Callable[[int], None]:
    """A line in the run's log every tenth of a long publish."""
    said = 0

    def tell(handled: int) -> None:
        nonlocal said
        if handled - said >= max(rows // 10, 50_000):
            said = handled
            step.context.log.info(f"{handled:,} of at most {rows:,} documents handled")

    return tell
