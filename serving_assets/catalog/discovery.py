"""Read the folders of a catalog into declarations that are proven to fit each other.

Here: finding `domains/<name>/domain.py` and `use_cases/<name>/use_case.py`. Not here: the words of a declaration
(spec.py), or the proofs (tables.py, binding.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from serving_assets.catalog.binding import BoundUseCase, bind_use_case
from serving_assets.catalog.columns import Spec
from serving_assets.catalog.modules import load_module
from serving_assets.catalog.serve import check_fallback
from serving_assets.catalog.spec import Domain, UseCase
from serving_assets.catalog.tables import Table, with_tables_of
from serving_assets.errors import DeclarationError

__all__ = ["BoundUseCase", "Catalog", "Table", "load_catalog", "open_catalog"]

S = TypeVar("S", bound=Spec)


DOMAINS, USE_CASES = "domains", "use_cases"
"""The two folders of a catalog."""


@dataclass(frozen=True)
class Catalog:
    """Everything declared under one folder.

    Attributes:
        tables: in the order in which they can be built.
        broken: what could not be loaded, by its folder below `root` (`use_cases/churn`), each with its error. Nothing
            else of it is in here; a use case whose fallback is broken is here without the fallback.
    """

    root: Path
    domains: Mapping[str, Domain]
    tables: Mapping[str, Table]
    use_cases: Mapping[str, BoundUseCase]
    broken: Mapping[str, DeclarationError] = field(default_factory=dict)

    @property
    def broken_use_cases(self) -> dict[str, DeclarationError]:
        """The use cases that could not be loaded, by name."""
        parts = ((folder.split("/", 1), error) for folder, error in self.broken.items())
        return {name: error for (kind, name), error in parts if kind == USE_CASES}

    def use_case(self, name: str) -> BoundUseCase:
        """The use case of that name.

        Raises:
            DeclarationError: when it is broken, or when there is none, with those that there are.
        """
        if name in self.broken_use_cases:
            raise self.broken_use_cases[name]
        if name not in self.use_cases:
            known = ", ".join(sorted(self.use_cases)) or "none"
            raise DeclarationError(f"No use case {name!r} in {self.root}.", hint=f"Known use cases: {known}.")
        return self.use_cases[name]


def load_catalog(root: Path) -> Catalog:
    """Load and prove the whole catalog under `root`.

    Raises:
        DeclarationError: naming the file, the field and the fix, at the first thing that does not fit.
    """
    catalog = open_catalog(root)
    for error in catalog.broken.values():
        raise error
    return catalog


def open_catalog(root: Path) -> Catalog:
    """Load what can be loaded of the catalog under `root`: a folder that is broken stops no other.

    Raises:
        DeclarationError: there is no catalog.
    """
    try:
        return _whole(root)
    except _BrokenError as error:
        return error.catalog


class _BrokenError(Exception):
    """Keeps a catalog with broken folders out of the cache: its next loading may find them repaired."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog


@lru_cache(maxsize=8)
def _whole(root: Path) -> Catalog:
    if not (root / DOMAINS).is_dir():
        raise DeclarationError(f"{root}: has no folder domains/.", hint="Correct CATALOG_DIR, or create the folder.")
    broken: dict[str, DeclarationError] = {}
    domains, tables = _open_domains(root, broken)
    use_cases: dict[str, BoundUseCase] = {}
    for folder in _folders(root / USE_CASES):
        with _collecting(broken, folder):
            if found := _declaration(folder, "use_case.py", "USE_CASE", UseCase):
                use_cases[found.name] = bind_use_case(found, folder / "use_case.py", tables)
    _check_fallbacks(use_cases, broken)
    catalog = Catalog(root, domains, tables, use_cases, broken)
    if broken:
        raise _BrokenError(catalog)
    return catalog


def _open_domains(root: Path, broken: dict[str, DeclarationError]) -> tuple[dict[str, Domain], dict[str, Table]]:
    """The domains whose tables fit, and these tables; one that does not fit those before it is broken."""
    domains: dict[str, Domain] = {}
    tables: dict[str, Table] = {}
    for folder in _folders(root / DOMAINS):
        with _collecting(broken, folder):
            if found := _declaration(folder, "domain.py", "DOMAIN", Domain):
                tables = with_tables_of(found, folder / "domain.py", tables)
                domains[found.name] = found
    return domains, tables


def _check_fallbacks(use_cases: dict[str, BoundUseCase], broken: dict[str, DeclarationError]) -> None:
    """Take the fallback out where its use case is broken; without it, a use case that only it publishes is broken."""
    serving = {name: bound.spec.serve for name, bound in use_cases.items()}
    for name, bound in list(use_cases.items()):
        serve, file = bound.spec.serve, bound.folder / "use_case.py"
        lost = broken.get(f"{USE_CASES}/{serve.fallback.use_case}") if serve.fallback else None
        if lost and serve.lookup:
            alone = serve.model_copy(update={"fallback": None})
            use_cases[name] = replace(bound, spec=bound.spec.model_copy(update={"serve": alone}))
        elif lost:
            broken[f"{USE_CASES}/{name}"] = DeclarationError(f"{file}: its fallback is broken: {lost}")
            del use_cases[name]
        elif wrong := check_fallback(name, serve, serving):
            broken[f"{USE_CASES}/{name}"] = DeclarationError(f"{file}: {wrong}.")
            del use_cases[name]


@contextmanager
def _collecting(broken: dict[str, DeclarationError], folder: Path) -> Iterator[None]:
    """Keep the error of a folder, whatever it is about, for the report, and go on with the next one."""
    at = f"{folder.parent.name}/{folder.name}"
    try:
        yield
    except DeclarationError as error:
        unloaded = [other for other in broken if other.startswith(f"{DOMAINS}/")]
        note = f" {', '.join(unloaded)} could not be loaded either; fix that first." if unloaded else ""
        broken[at] = DeclarationError(error.message, hint=f"{error.hint}{note}".strip()) if note else error
    except (OSError, ValueError) as error:
        broken[at] = DeclarationError(
            f"{folder}: cannot be read: {type(error).__name__}: {error}.",
            hint="Correct the file, and save it as UTF-8.",
        )


def _folders(parent: Path) -> list[Path]:
    return sorted(child for child in parent.glob("[!._]*") if child.is_dir())


def _declaration(folder: Path, file: str, variable: str, kind: type[S]) -> S | None:
    """The declaration in `folder`, whose name must be the folder's; None in what a removed one has left behind."""
    path = folder / file
    if not path.is_file():
        if any(child.is_file() for child in folder.iterdir()):
            raise DeclarationError(f"{folder}: has no {file}.", hint=f"Create it, with {variable} in it.")
        return None
    found = getattr(load_module(path), variable, None)
    if not isinstance(found, kind):
        raise DeclarationError(
            f"{path}: {variable} must be a {kind.__name__}, and is {found!r}.",
            hint=f"Define {variable} = {kind.__name__}(...).",
        )
    name = getattr(found, "name", "")
    if name != folder.name:
        raise DeclarationError(
            f"{path}: name is {name!r} in a folder called {folder.name!r}.", hint="Make the two equal."
        )
    return found
