"""Import every module of the package as if none of its extras were installed.

Here: the proof that the default dependencies suffice. It runs where everything is installed and hides what
`pip install serving-assets` alone would not have brought, which takes seconds where a second environment takes minutes.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "serving-assets"
PACKAGE = "serving_assets"
HINT = "import it inside the function that needs it, or make it one"


class Hidden:
    """A finder that is asked first and knows the hidden packages as missing."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Refuse a hidden package; leave every other one to the next finder."""
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{fullname} is of no default dependency: {HINT}", name=fullname)
        return None


def default_distributions() -> set[str]:
    """Names of the project and of all it depends on, directly or not, when installed without any of its extras."""
    found: set[tuple[str, str]] = set()
    pending = [(canonicalize_name(PROJECT), "")]
    while pending:
        name, extra = pending.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for requirement in map(Requirement, requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                pending += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return {name for name, _ in found}


def hidden_packages() -> set[str]:
    """Top-level packages that are installed here, and that no default dependency brings."""
    defaults = default_distributions()
    return {
        package
        for package, owners in packages_distributions().items()
        if not defaults & {canonicalize_name(owner) for owner in owners}
    }


def main() -> int:
    """Import all modules; print the ones that fail, and return the exit code."""
    hidden = hidden_packages()
    if "pytest" not in hidden:
        print("The extras are not installed, or not told apart from the default dependencies: nothing would be proven.")
        return 1
    sys.meta_path.insert(0, Hidden(hidden))
    package = importlib.import_module(PACKAGE)
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
    failures = {}
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            failures[name] = str(error)
    for name, reason in failures.items():
        print(f"{name}: {reason}")
    print(f"{len(names) - len(failures)} of {len(names)} modules import without {len(hidden)} packages of the extras")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
