"""Python files of a catalog: load one as a module of its own, and locate its errors.

Here: importing by path. Not here: what is expected in a file (discovery.py, spec.py).
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

from pydantic import ValidationError

from serving_assets.errors import DeclarationError

PREFIX = "_catalog_"
"""Of the names in `sys.modules` of files that belong to a catalog, which no other process can import."""


def load_module(path: Path) -> ModuleType:
    """The module in `path`, under a name of its own, so that two catalogs never meet in `sys.modules`.

    Its imports find the Python files beside it first, as those of a script do: `import a`, `from .a import b`.

    Raises:
        DeclarationError: naming file, line, and for a declaration the field, when it fails.
    """
    name = _name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _importing_beside(path)}
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except DeclarationError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise _explained(path, error) from error
    return module


def _explained(path: Path, error: Exception) -> DeclarationError:
    """The error of a file that fails when it is loaded, with its place in it."""
    if isinstance(error, ValidationError):
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        return DeclarationError(f"{_place(path, error)}: {error.title}: {problems}.", hint="Correct the field named.")
    return DeclarationError(
        f"{_place(path, error)}: fails when loaded: {type(error).__name__}: {error}.", hint="Correct the line named."
    )


def _name(path: Path) -> str:
    return f"{PREFIX}{abs(hash(path.resolve())):x}_{path.parent.name}_{path.stem}"


def _importing_beside(path: Path) -> Callable[..., ModuleType]:
    """The `__import__` of the file `path`: names of files in its folder mean these files, in this catalog alone."""

    def beside(name: str) -> ModuleType | None:
        file = path.with_name(f"{name}.py")
        if not name.isidentifier() or file == path or not file.is_file():
            return None
        return sys.modules.get(_name(file)) or load_module(file)

    def imported(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 1 and not name:  # from . import shapes
            found = {each: beside(each) for each in fromlist or ()}
            return SimpleNamespace(**found)  # type: ignore[return-value]
        return (beside(name) if level <= 1 else None) or builtins.__import__(
            name, globals, locals, fromlist or (), level
        )

    return imported


def defined_names(path: Path) -> set[str]:
    """Names that the file defines at its top level, found without running it.

    Raises:
        DeclarationError: when it is no Python.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise DeclarationError(f"{path}:{error.lineno}: {error.msg}.", hint="Correct the line named.") from error
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name for alias in aliases}
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def _place(path: Path, error: Exception) -> str:
    """`file:line` of the innermost line of that file which the error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f"{path}:{lines[-1]}" if lines else str(path)
