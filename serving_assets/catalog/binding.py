"""Use cases, their SQL and their training function proven against the tables they name.

Here: what fits at load time. Not here: the words of a declaration (spec.py), tables (tables.py), or rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from serving_assets.catalog.columns import DType
from serving_assets.catalog.lineage import Lineage
from serving_assets.catalog.modules import defined_names, load_module
from serving_assets.catalog.names import features_collection, predictions_collection, stage_table
from serving_assets.catalog.spec import DAY, Domain, UseCase
from serving_assets.catalog.sql import Schema, Statement
from serving_assets.catalog.tables import Table, check_columns
from serving_assets.errors import DeclarationError, listed

LAYERS = ("raw", "mapped")
OF_THE_PLATFORM = frozenset({DAY, "scored_for", "scored_at", "model_version", "run_id"})
"""Columns that the platform writes beside the key and the scores."""
NUMBERS: tuple[DType, ...] = ("bool", "int32", "int64", "float32", "float64")


@dataclass(frozen=True)
class BoundUseCase:
    """A use case with its SQL read and proven against the tables it names."""

    spec: UseCase
    folder: Path
    domain: Domain
    features: Statement
    feature_schema: Schema
    feature_lineage: Lineage
    labels: Statement

    @property
    def name(self) -> str:
        """Its name: the folder, the lake's prefix, the registered model."""
        return self.spec.name

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the model sees, in order: every column of features.sql but the entity key."""
        return tuple(name for name in self.feature_schema if name != self.spec.entity.key)

    @property
    def online_columns(self) -> Mapping[str, int | None]:
        """The features that the store holds, each with its decimals, None for all of them; empty where none are."""
        declared = self.spec.online_features
        if declared is None:
            return {}
        return dict.fromkeys(self.feature_names) if declared.columns is None else declared.columns

    def lake_name(self, stage: str) -> str:
        """Name in the lake of one of its tables, such as `features` or `latest`."""
        return stage_table(self.name, stage)

    @property
    def predictions_collection(self) -> str:
        """Where the online store keeps its published predictions."""
        return predictions_collection(self.name)

    @property
    def features_collection(self) -> str:
        """Where the online store keeps its online features."""
        return features_collection(self.name)

    @cached_property
    def train(self) -> Callable[..., Any]:
        """The function that `model.train` names, loaded at the first use because it imports heavy libraries."""
        file, _, function = self.spec.model.train.partition(":")
        found: Callable[..., Any] = getattr(load_module(self.folder / file), function)
        return found


def bind_use_case(spec: UseCase, path: Path, tables: Mapping[str, Table]) -> BoundUseCase:
    """The use case declared in `path`, proven against `tables`.

    Raises:
        DeclarationError: at the first thing that does not fit.
    """
    if spec.name in LAYERS:
        raise DeclarationError(
            f"{path}: name: {spec.name!r} is the name of a layer of the lake.", hint="Choose another name."
        )
    domain = _check_inputs(spec, path, tables)
    _check_predictions(spec, path)
    _check_train(spec, path)
    features, schema = _bind_features(spec, path, domain, tables)
    labels = _bind_labels(spec, path, domain, tables)
    inputs = {name: tables[name].schema for name in spec.features.inputs}
    return BoundUseCase(spec, path.parent, domain, features, schema, features.lineage(inputs), labels)


def _check_inputs(spec: UseCase, path: Path, tables: Mapping[str, Table]) -> Domain:
    """The domain whose calendar the use case follows."""
    for field, windows in (("features.inputs", spec.features.inputs), ("labels.inputs", spec.labels.inputs)):
        for name, window in windows.items():
            if name not in tables:
                raise DeclarationError(
                    f"{path}: {field} names {name!r}, which no domain declares.",
                    hint=f"Known tables: {', '.join(sorted(tables)) or 'none'}.",
                )
            if hasattr(window, "days") and not tables[name].daily:
                raise DeclarationError(f"{path}: {field}: {name!r} is not daily.", hint="Read it as Current().")
    used = [tables[name] for name in (*spec.features.inputs, *spec.labels.inputs)]
    if len(zones := {table.domain.timezone for table in used}) > 1:
        raise DeclarationError(
            f"{path}: its inputs follow different time zones ({', '.join(sorted(zones))}), so a day means two things.",
            hint="Map one of them into the other's calendar first.",
        )
    population = tables[spec.features.population]
    if (found := population.schema.get(spec.entity.key)) != spec.entity.dtype:
        raise DeclarationError(
            f"{path}: entity: {spec.entity.key!r} is {spec.entity.dtype}, and in the population {population.name!r} "
            f"it is {found or 'no column'}.",
            hint="Correct entity, or name the population in which it stands.",
        )
    return population.domain


def _check_predictions(spec: UseCase, path: Path) -> None:
    if taken := sorted(set(spec.predictions.columns) & {*OF_THE_PLATFORM, spec.entity.key}):
        raise DeclarationError(
            f"{path}: predictions.columns: {', '.join(taken)} is written by the platform.", hint="Rename the column."
        )


def _check_train(spec: UseCase, path: Path) -> None:
    """Without running the file, whose libraries cost seconds."""
    file, _, function = spec.model.train.partition(":")
    found = path.parent / file
    if not found.is_file():
        raise DeclarationError(f"{path}: model.train: there is no {found}.", hint="Create it, or correct model.train.")
    if function not in defined_names(found):
        raise DeclarationError(
            f"{found}: has no function {function!r}, which model.train of {path} names.",
            hint="Define it, or correct model.train.",
        )


def _bind_features(spec: UseCase, path: Path, domain: Domain, tables: Mapping[str, Table]) -> tuple[Statement, Schema]:
    declared = spec.features
    statement = Statement.read(path.parent / declared.sql)
    schema = statement.bind({name: tables[name].schema for name in declared.inputs}, domain.timezone)
    _check_all_read(statement, declared.inputs, f"{path}: features.inputs")
    _demand(statement, schema, spec.entity.key, (spec.entity.dtype,))
    if reserved := sorted({*OF_THE_PLATFORM, spec.labels.column} & set(schema)):
        raise DeclarationError(
            f"{statement.path}: {', '.join(reserved)} is written by the platform.", hint="Rename the column."
        )
    if len(schema) == 1:
        raise DeclarationError(f"{statement.path}: returns the key alone.", hint="Return a feature beside it.")
    _check_feature_types(statement, {name: dtype for name, dtype in schema.items() if name != spec.entity.key})
    check_columns(declared.columns, schema, f"{path}: features", declared.sql)
    _check_online_features(spec, path, schema)
    for baseline in spec.model.baselines:
        text = f"SELECT {baseline.expression} AS ranking FROM features"
        ranking = Statement(Path(f"{path}: model.baselines: {baseline.name}"), text)
        if ranking.bind({"features": schema}, domain.timezone)["ranking"] not in NUMBERS:
            raise DeclarationError(f"{ranking.path}: {baseline.expression} is no number.", hint="Rank by a number.")
    return statement, schema


def _check_feature_types(statement: Statement, features: Schema) -> None:
    if wrong := {name: dtype for name, dtype in features.items() if dtype not in (*NUMBERS, "string")}:
        raise DeclarationError(
            f"{statement.path}: no model takes {listed(f'{name} ({dtype})' for name, dtype in wrong.items())}.",
            hint="Turn it into a number or a text, such as days before $as_of: "
            "date_diff('day', CAST(... AS DATE), CAST($as_of AS DATE)).",
        )


def _check_online_features(spec: UseCase, path: Path, schema: Schema) -> None:
    online = spec.online_features.columns if spec.online_features else None
    for name, precision in (online or {}).items():
        if name not in schema or name == spec.entity.key:
            raise DeclarationError(
                f"{path}: online_features.columns names {name!r}, which is no feature of {spec.features.sql}.",
                hint=f"Choose among: {', '.join(column for column in schema if column != spec.entity.key)}.",
            )
        if precision is not None and not schema[name].startswith("float"):
            raise DeclarationError(
                f"{path}: online_features.columns: {name!r} is {schema[name]} and has no decimals.",
                hint="Give it None instead of a precision.",
            )


def _bind_labels(spec: UseCase, path: Path, domain: Domain, tables: Mapping[str, Table]) -> Statement:
    declared = spec.labels
    statement = Statement.read(path.parent / declared.sql)
    schema = statement.bind({name: tables[name].schema for name in declared.inputs}, domain.timezone)
    _check_all_read(statement, declared.inputs, f"{path}: labels.inputs")
    _demand(statement, schema, spec.entity.key, (spec.entity.dtype,))
    _demand(statement, schema, declared.column, NUMBERS)
    return statement


def _check_all_read(statement: Statement, inputs: Mapping[str, object], field: str) -> None:
    if unread := sorted(set(inputs) - statement.tables):
        raise DeclarationError(
            f"{field}: {', '.join(unread)} is never read by {statement.path.name}.",
            hint="Read it, or remove the input.",
        )


def _demand(statement: Statement, schema: Schema, name: str, dtypes: tuple[DType, ...]) -> None:
    if (found := schema.get(name)) not in dtypes:
        raise DeclarationError(
            f"{statement.path}: must return {name!r} as {' or '.join(dtypes)}, and returns {found or 'none'}.",
            hint="Add or cast the column.",
        )
