"""Read the folders of a catalog into declarations that are proven to fit each other.

Here: finding `domains/<name>/domain.py` and `use_cases/<name>/use_case.py`. Not here: the words of a declaration
(spec.py), or the proofs (tables.py, binding.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from serving_assets.catalog.binding import BoundUseCase, bind_use_case
from serving_assets.catalog.columns import Spec
from serving_assets.catalog.modules import load_module
from serving_assets.catalog.serve import check_fallback
from serving_assets.catalog.spec import Domain, UseCase
from serving_assets.catalog.tables import Table, bind_tables
from serving_assets.errors import DeclarationError

__all__ = ["BoundUseCase", "Catalog", "Table", "load_catalog"]

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Catalog:
    """Everything declared under one folder. `tables` is in the order in which they can be built."""

    root: Path
    domains: Mapping[str, Domain]
    tables: Mapping[str, Table]
    use_cases: Mapping[str, BoundUseCase]

    def use_case(self, name: str) -> BoundUseCase:
        """The use case of that name.

        Raises:
            DeclarationError: when there is none, with those that there are.
        """
        if name not in self.use_cases:
            known = ", ".join(sorted(self.use_cases)) or "none"
            raise DeclarationError(f"No use case {name!r} in {self.root}.", hint=f"Known use cases: {known}.")
        return self.use_cases[name]


@lru_cache(maxsize=8)
def load_catalog(root: Path) -> Catalog:
    """Load and prove the catalog under `root`.

    Raises:
        DeclarationError: naming the file, the field and the fix, at the first thing that does not fit.
    """
    if not (root / "domains").is_dir():
        raise DeclarationError(f"{root}: has no folder domains/.", hint="Correct CATALOG_DIR, or create the folder.")
    domains = {d.name: (d, path) for d, path in _declarations(root / "domains", "domain.py", "DOMAIN", Domain)}
    tables = bind_tables(domains.values())
    use_cases = {
        spec.name: bind_use_case(spec, path, tables)
        for spec, path in _declarations(root / "use_cases", "use_case.py", "USE_CASE", UseCase)
    }
    serving = {name: bound.spec.serve for name, bound in use_cases.items()}
    for name, bound in use_cases.items():
        if wrong := check_fallback(name, bound.spec.serve, serving):
            raise DeclarationError(f"{bound.folder / 'use_case.py'}: {wrong}.")
    return Catalog(root, {name: domain for name, (domain, _) in domains.items()}, tables, use_cases)


def _declarations(folder: Path, file: str, variable: str, kind: type[S]) -> Iterator[tuple[S, Path]]:
    """Every declaration in the sub-folders of `folder`, sorted by name; the declared name must be the folder's."""
    for path in sorted(child / file for child in folder.glob("[!._]*") if child.is_dir()):
        if not path.is_file():
            if any(child.is_file() for child in path.parent.iterdir()):
                raise DeclarationError(f"{path.parent}: has no {file}.", hint=f"Create it, with {variable} in it.")
            continue  # what is left when a version with this folder is no longer checked out
        found = getattr(load_module(path), variable, None)
        if not isinstance(found, kind):
            raise DeclarationError(
                f"{path}: {variable} must be a {kind.__name__}, and is {found!r}.",
                hint=f"Define {variable} = {kind.__name__}(...).",
            )
        name = getattr(found, "name", "")
        if name != path.parent.name:
            raise DeclarationError(
                f"{path}: name is {name!r} in a folder called {path.parent.name!r}.", hint="Make the two equal."
            )
        yield found, path
