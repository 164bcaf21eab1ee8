"""Online: a table of the lake published to the online store as one generation.

Here: the asset of any collection, and the one of the predictions. Not here: what a publish does
(pipeline/publishing/publisher.py), what is published (pipeline/publishing/published_documents.py), or the protocol that
makes it atomic (store/).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from serving_assets.catalog.checks import Checks
from serving_assets.catalog.discovery import BoundUseCase
from serving_assets.pipeline.checks.lag import PARTITION_LAG, check_partition_lag
from serving_assets.pipeline.checks.pinned import NOT_PINNED, check_not_pinned
from serving_assets.pipeline.checks.read_back import READ_BACK, check_read_back
from serving_assets.pipeline.checks.store_parity import STORE_PARITY, check_store_parity
from serving_assets.pipeline.checks.verdict import Verdict
from serving_assets.pipeline.dagster_instance.step_metadata import described, measured
from serving_assets.pipeline.platform import Platform
from serving_assets.pipeline.publishing.activation_log import is_lost, loss, pin_of
from serving_assets.pipeline.publishing.askable_ids import refuse_unaskable
from serving_assets.pipeline.publishing.dead_leases import release_dead_lease
from serving_assets.pipeline.publishing.published_documents import (
    PublishedCollection,
    PublishedDocuments,
    documents_of,
    newest_documents,
    predictions_of,
)
from serving_assets.pipeline.publishing.publisher import Published, Publisher, parity_with
from serving_assets.pipeline.stages.latest import CHECKS
from serving_assets.pipeline.stages.step import Step, stage_asset
from serving_assets.store import Cause, Control, PinnedError

if TYPE_CHECKING:
    from serving_assets.catalog.compute import Stage


def online_asset(use_case: BoundUseCase, platform: Platform) -> list[dg.AssetsDefinition]:
    """Return the asset `<use_case>/online`, of a use case whose predictions are served."""
    if not use_case.spec.serve.published:
        return []

    def newest(step: Step, collection: PublishedCollection) -> PublishedDocuments:
        step.refuse_failed("latest", CHECKS)
        return newest_documents(collection, step.platform.engine, step.platform.lake)

    return [
        published_asset(
            use_case,
            platform,
            predictions_of(use_case),
            newest,
            upstream="latest",
            description="What readers get: latest, published as one generation, all of it or nothing.",
        )
    ]


def published_asset(
    use_case: BoundUseCase,
    platform: Platform,
    collection: PublishedCollection,
    newest: Callable[[Step, PublishedCollection], PublishedDocuments],
    *,
    upstream: str,
    description: str,
) -> dg.AssetsDefinition:
    """Return the asset that keeps `collection` at what `newest` returns, made from the stage `upstream`."""
    return stage_asset(
        dg.AssetKey([use_case.name, collection.asset]),
        partial(_publish, collection, newest, use_case.spec.checks),
        group=use_case.name,
        description=description,
        owners=use_case.spec.owners,
        kinds={platform.settings.store_kind},
        deps=[dg.AssetKey([use_case.name, upstream])],
        checks=(STORE_PARITY, NOT_PINNED, READ_BACK, PARTITION_LAG),
        metadata=described(collection.name, use_case.folder / "use_case.py"),
        pool=f"{use_case.name}_{collection.asset}",
        compute=use_case.spec.compute.get(cast("Stage", collection.asset)),
    )


def _publish(
    collection: PublishedCollection,
    newest: Callable[[Step, PublishedCollection], PublishedDocuments],
    thresholds: Checks,
    step: Step,
) -> dg.MaterializeResult[Any]:
    p = step.platform
    snapshot = newest(step, collection)
    refuse_unaskable(snapshot, p.engine)
    if lease := release_dead_lease(lambda: step.context.instance, p.store, collection.name):
        step.context.log.info(f"Run {lease.writer}, which is over, still held the lease of {collection.name}.")
    progress = _progress(step, snapshot.scan.rows())
    publisher = Publisher(p, collection, step.run_id, step.run_id, progress=progress, warned=step.context.log.warning)
    published = None
    with measured() as cost:
        cause = Cause("publish", step.run_id, _recover(publisher, step))
        try:
            published = publisher.publish(snapshot, cause, rewrite_reason=_rewrite_reason(step))
        except PinnedError as error:
            step.context.log.warning(str(error))
    control = p.store.control(collection.name)
    if published is None and control and control.published:
        snapshot = documents_of(collection, control.published, p.lake)
    facts = _facts(snapshot, published, control) | cost.metadata()
    return step.result(facts, _verdicts(snapshot, published, control, thresholds, step))


def _recover(publisher: Publisher, step: Step) -> str:
    """What to remember of a store that came back empty; what was pinned there is brought back first, and pinned."""
    control, log = publisher.platform.store.control(publisher.collection.name), publisher.log.entries()
    if not is_lost(control, log):
        return ""
    step.context.log.warning(f"{publisher.collection.name}: {loss(log)}.")
    if pin := pin_of(log):
        publisher.bring_back(log[-1].generation, Cause("restore", step.run_id, loss(log), pin=pin))
    return loss(log)


def _rewrite_reason(step: Step) -> str | None:
    return "the last publish left the store other than the lake" if step.failed(STORE_PARITY) else None


def _verdicts(
    snapshot: PublishedDocuments, published: Published | None, control: Control | None, thresholds: Checks, step: Step
) -> list[Verdict]:
    p, name = step.platform, snapshot.collection.name
    found = parity_with(p, snapshot, published.total if published else None)
    return [
        check_store_parity(found, p.store, name, partial(snapshot.documents, p.engine)),
        check_not_pinned(control, f"serving-assets resume {snapshot.collection.use_case}"),
        check_read_back(p.engine, snapshot, p.store, step.context.instance, step.asset, thresholds.read_back_entities),
        check_partition_lag(snapshot.stamp.day, snapshot.collection.timezone, datetime.now(UTC), thresholds),
    ]


def _facts(snapshot: PublishedDocuments, published: Published | None, control: Control | None) -> dict[str, Any]:
    facts = {"as_of": snapshot.as_of, "model_version": snapshot.stamp.model_version, "pinned": published is None}
    if published is None:
        return facts | {"generation": control.active if control else None, "changed": 0, "removed": 0}
    report = published.report
    written = report.changed + report.removed
    return facts | {
        "generation": report.generation,
        "rows": report.rows,
        "changed": report.changed,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "repaired": report.repaired,
        "rewritten": published.rewritten or "no",
        "documents_per_second": round(written / report.seconds) if report.seconds else 0,
        "bytes": published.written_bytes,
        "digest": f"{report.digest:016x}",
    }


def _progress(step: Step, rows: int) -> Callable[[int], None]:
    """Return what writes a line into the run's log at every tenth of a long publish."""
    logged = 0

    def log(handled: int) -> None:
        nonlocal logged
        if handled - logged >= max(rows // 10, 50_000):
            logged = handled
            step.context.log.info(f"{handled:,} of at most {rows:,} documents handled")

    return log
