"""From which columns each column is computed, through every table up to the landed one.

Here: following the lineage that the assets declare. Not here: finding it in SQL (catalog/lineage.py), or its screen
(commands/lineage.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from serving_assets.errors import InputError
from serving_assets.pipeline.dagster_instance.step_metadata import LINEAGE

SCHEMA = "dagster/column_schema"


@dataclass(frozen=True)
class Origin:
    """A column of an asset, and the columns that it is computed from; none for a landed one."""

    asset: str
    column: str
    comes_from: tuple[Origin, ...] = ()


def origins(defs: dg.Definitions, asset: str, column: str | None = None) -> list[Origin]:
    """The columns of `asset`, such as `purchase_propensity/features`, or one of them, each with its origins.

    Raises:
        InputError: when there is no such asset, it declares no columns, or has no such column.
    """
    graph = defs.resolve_asset_graph()
    columns = {
        key.to_user_string(): [one.name for one in schema.columns]
        for key in graph.get_all_asset_keys()
        if isinstance(schema := graph.get(key).metadata.get(SCHEMA), dg.TableSchema)
    }
    if asset not in columns:
        raise InputError(f"No table {asset} declares columns.", hint=f"There are: {', '.join(sorted(columns))}.")
    if column is not None and column not in columns[asset]:
        raise InputError(f"{asset} has no column {column}.", hint=f"It has: {', '.join(columns[asset])}.")
    deps = {key.to_user_string(): graph.get(key).metadata.get(LINEAGE) for key in graph.get_all_asset_keys()}

    def origin(name: str, of: str) -> Origin:
        lineage = deps.get(name)
        above = lineage.deps_by_column.get(of, ()) if isinstance(lineage, dg.TableColumnLineage) else ()
        return Origin(name, of, tuple(origin(dep.asset_key.to_user_string(), dep.column_name) for dep in above))

    return [origin(asset, name) for name in ([column] if column else columns[asset])]
