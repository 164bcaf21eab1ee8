"""Folders of the catalog that could not be loaded: what the UI and the alerts show of them, while the others run.

Here: one asset for each, with a check that fails. Not here: loading them (catalog/discovery.py), or alerting
(pipeline/observing/findings_from_state.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import dagster as dg

from serving_assets.catalog.discovery import Catalog
from serving_assets.errors import DeclarationError
from serving_assets.pipeline.dagster_instance import check_records

DECLARATION_BROKEN = "declaration_broken"
"""The check that fails, the kind of the alert, and the name of the runbook."""


def declaration_key(folder: str) -> dg.AssetKey:
    """Key of the asset that stands for a folder of the catalog, such as `use_cases/churn`."""
    kind, _, name = folder.partition("/")
    return dg.AssetKey([name, "declaration"] if kind == "use_cases" else [kind, name])


def broken_assets(catalog: Catalog) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """An asset for each broken folder, in the group that its assets would be in."""
    return [
        dg.AssetSpec(
            declaration_key(folder),
            group_name=folder.partition("/")[2],
            description=f"**Broken: nothing of `{folder}` runs.** {error}",
            kinds={"python"},
        )
        for folder, error in catalog.broken.items()
    ]


def broken_checks(catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """The check of each such asset. The alerts record its failure; run by hand, it reports the same."""
    checks = []
    for folder, error in catalog.broken.items():
        key = declaration_key(folder)
        check = dg.asset_check(
            asset=key, name=DECLARATION_BROKEN, description="The declaration and its SQL can be loaded."
        )
        named = partial(_failure, error)
        vars(named)["__name__"] = DECLARATION_BROKEN
        checks.append(check(named))
    return checks


def _failure(error: DeclarationError) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description=str(error))


def record_failures(instance: dg.DagsterInstance, catalog: Catalog) -> None:
    """Record the failed check of each broken folder, once for each error, so that the UI shows it in red."""
    keys = {dg.AssetCheckKey(declaration_key(folder), DECLARATION_BROKEN): e for folder, e in catalog.broken.items()}
    recorded = {
        dg.AssetCheckKey(one.evaluation.asset_key, one.evaluation.check_name): one.evaluation.description
        for one in (check_records.failing(instance, keys) if keys else ())
    }
    for key, error in keys.items():
        if recorded.get(key) != str(error):
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=key.asset_key,
                    check_name=key.name,
                    passed=False,
                    severity=dg.AssetCheckSeverity.ERROR,
                    description=str(error),
                    metadata={},
                )
            )


def broken_since(catalog: Catalog, folder: str) -> datetime:
    """When the newest file of a folder was changed."""
    files = [path for path in (catalog.root / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return datetime.fromtimestamp(max((path.stat().st_mtime for path in files), default=0.0), UTC)
