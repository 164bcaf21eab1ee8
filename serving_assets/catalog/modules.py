"""Python files of a catalog: load one as a module of its own, and locate its errors.

Here: importing by path. Not here: what is expected in a file (discovery.py, spec.py).
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from serving_assets.errors import DeclarationError


def load_module(path: Path) -> ModuleType:
    """The module in `path`, under a name of its own, so that two catalogs never meet in `sys.modules`.

    Raises:
        DeclarationError: naming file, line, and for a declaration the field, when it fails.
    """
    name = f"_catalog_{abs(hash(path.resolve())):x}_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise DeclarationError(
            f"{_place(path, error)}: {error.title}: {problems}.", hint="Correct the field named."
        ) from error
    except DeclarationError:
        raise
    except Exception as error:
        raise DeclarationError(
            f"{_place(path, error)}: fails when loaded: {type(error).__name__}: {error}.",
            hint="Correct the line named.",
        ) from error
    return module


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
