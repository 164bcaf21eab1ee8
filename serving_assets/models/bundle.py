"""The model bundle: a folder that can be scored with, without MLflow and without the code that trained it.

Here: the folder's files, their digests, and reading them back. Not here: making their contents (packaging.py), or
fetching a bundle (models/lifecycle/registry.py).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from serving_assets.catalog.columns import Spec
from serving_assets.errors import InputError
from serving_assets.models.parity import TOLERANCE, ScorerParity
from serving_assets.models.profile import Profile
from serving_assets.models.scorer import Run, Scorer, compiled, original
from serving_assets.models.serving_form import Form
from serving_assets.models.signature import Signature

MANIFEST = "bundle.json"
SAMPLE = "sample.arrow"
EXPECTED = "expected score"
FILES = {"onnx": "scorer.onnx", "original": "estimator.pickle"}


class Damaged(InputError):
    """A bundle is incomplete or not what was written."""


class Manifest(Spec):
    """What the bundle is; `version` is empty before registration, `files` maps each file to its SHA-256."""

    name: str
    version: str = ""
    created: datetime
    form: Form
    reason: str
    files: dict[str, str]


class Bundle:
    """A verified bundle, as `load_bundle` returns it."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.signature = Signature.model_validate_json((path / "signature.json").read_bytes())
        self.profile = Profile.model_validate_json((path / "profile.json").read_bytes())
        stored = path / "parity.json"
        self.parity = ScorerParity.model_validate_json(stored.read_bytes()) if stored.exists() else None

    @property
    def name(self) -> str:
        """The model's name, which is its use case's."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The version in the registry; empty before registration."""
        return self.manifest.version

    @property
    def form(self) -> Form:
        """Whether the compiled scorer serves, or the original estimator."""
        return self.manifest.form

    def prove(self, scorer: Scorer) -> None:
        """Score the bundle's sample, rows alone and together: `scorer` works on this machine as where it was made.

        Raises:
            Damaged: when a score is further from the estimator's than the parity certificate allows.
        """
        if SAMPLE not in self.manifest.files:
            return
        with pa.ipc.open_file(self.path / SAMPLE) as file:
            sample = file.read_all().to_pylist()
        expected = np.array([row.pop(EXPECTED) for row in sample])
        rows = [[row[name] for name in self.signature.names] for row in sample]
        found = scorer.score_rows(rows)[:, 0]
        alone = np.array([scorer.score_rows([row])[0, 0] for row in rows])
        if not np.allclose(found, expected, rtol=0, atol=TOLERANCE) or alone.tobytes() != found.tobytes():
            raise _damaged(self.path, "its scorer does not give the scores of its own sample")

    def scorer(self, threads: int = 1) -> Scorer:
        """A new scorer of this bundle, that works on `threads` slices of a batch at once."""
        file = self.path / FILES[self.form]
        run: Run
        if self.form == "onnx":
            run = compiled(file.read_bytes(), self.signature)
        else:
            from serving_assets.models.estimator import unpickled

            run = original(unpickled(file.read_bytes()), self.signature)
        return Scorer(name=self.name, version=self.version, signature=self.signature, run=run, threads=threads)


def write_bundle(
    path: Path,
    *,
    name: str,
    form: Form,
    reason: str,
    model: bytes,
    signature: Signature,
    profile: Profile,
    parity: ScorerParity | None,
    sample: pa.Table | None = None,
) -> Bundle:
    """Write a bundle as the folder `path`, which appears whole or not at all.

    Args:
        path: must not exist.
        name: of the model.
        form: of `model`.
        reason: why it has this form.
        model: the ONNX graph, or the pickled estimator.
        signature: of the model.
        profile: the reference profile.
        parity: the certificate; None where nothing was compiled.
        sample: some rows of features in the signature's order, and the estimator's scores of them as EXPECTED; None
            omits the proof at load time.
    """
    contents = {
        FILES[form]: model,
        "signature.json": _json(signature),
        "profile.json": _json(profile),
        **({SAMPLE: _arrow(sample)} if sample is not None else {}),
        **({"parity.json": _json(parity)} if parity else {}),
    }
    manifest = Manifest(name=name, created=datetime.now(UTC), form=form, reason=reason, files=_digests(contents))
    with appearing(path) as folder:
        for file, content in contents.items():
            (folder / file).write_bytes(content)
        (folder / MANIFEST).write_bytes(_json(manifest))
    return load_bundle(path)


def stamp(folder: Path, version: str) -> None:
    """Write the registry's `version` into the manifest of the bundle in `folder`."""
    manifest = _manifest(folder).model_copy(update={"version": version})
    (folder / MANIFEST).write_bytes(_json(manifest))


def load_bundle(path: Path) -> Bundle:
    """The bundle in the folder `path`, every file of it verified.

    Raises:
        Damaged: when a file is missing or differs from what was written.
    """
    manifest = _manifest(path)
    for file, digest in manifest.files.items():
        stored = path / file
        if not stored.is_file():
            raise _damaged(path, f"{file} is missing")
        if hashlib.sha256(stored.read_bytes()).hexdigest() != digest:
            raise _damaged(path, f"{file} is not the file that was written")
    return Bundle(path, manifest)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A folder to fill, that becomes `path` at the end by one rename; nothing is left of it after an error.

    A `path` that another process has made meanwhile wins: both would hold the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield folder
        folder.chmod(0o755)  # temporary folders are private, and the API may run as another user
        try:
            folder.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise _damaged(path, f"{MANIFEST} is missing") from error
    except ValidationError as error:
        raise _damaged(path, f"{MANIFEST} cannot be read") from error


def _damaged(path: Path, what: str) -> Damaged:
    return Damaged(f"The model bundle {path} is damaged: {what}.", hint="Delete the folder; it is fetched again.")


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _json(spec: Spec) -> bytes:
    return json.dumps(spec.model_dump(mode="json"), indent=1).encode() + b"\n"
