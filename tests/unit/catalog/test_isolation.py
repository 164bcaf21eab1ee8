"""A folder of the catalog that is broken stops no other.

Not here: what is an error (test_discovery.py), or how a broken folder is shown (pipeline/test_broken_declarations.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from serving_assets.catalog.discovery import load_catalog, open_catalog
from serving_assets.errors import DeclarationError
from tests.unit.catalog.small_catalog import DOMAIN, FILES, USE_CASE, write_catalog

OTHER = {name.replace("buys_again", "other"): text for name, text in FILES.items() if name.startswith("use_cases/")}
OTHER["use_cases/other/use_case.py"] = USE_CASE.replace("buys_again", "other")
WEB = {
    "domains/web/domain.py": DOMAIN.replace('name="shop"', 'name="web"')
    .replace("person_days", "visits")
    .replace('"towns', '"places')
    .replace('"sales"', '"clicks"')
    .replace('"people"', '"users"'),
    "domains/web/visits.sql": FILES["domains/shop/person_days.sql"].replace("sales", "clicks"),
    "domains/web/places.sql": FILES["domains/shop/towns.sql"].replace("people", "users"),
}
FALLBACK = "serve=Serve(lookup={}, fallback=Fallback(use_case='other')),\n)\n"


def with_fallback(lookup: bool) -> str:
    """The use case `buys_again`, whose fallback is `other`."""
    text = "from serving_assets.catalog.serve import Fallback, Serve\n" + USE_CASE
    return text.rstrip().removesuffix(")") + FALLBACK.format(lookup)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("features.sql", "SELECT person, no_such AS f FROM person_days WHERE last_sold_at < $as_of", "no_such"),
        ("features.sql", "SELEC person", "features.sql"),
        ("labels.sql", None, "labels.sql"),
        ("use_case.py", "USE_CASE = 7\n", "must be a UseCase"),
        ("use_case.py", "USE_CASE = (", "use_case.py"),
        ("use_case.py", "import no_such_module\n", "no_such_module"),
        ("use_case.py", "raise SystemError('no')\n", "SystemError"),
        ("train.py", None, "train.py"),
    ],
)
def test_a_broken_use_case_stops_no_other(tmp_path: Path, file: str, text: str | None, message: str) -> None:
    """Whatever is wrong in one folder, the others are loaded, and the error names the file."""
    root = write_catalog(tmp_path, {**OTHER, f"use_cases/other/{file}": text})
    catalog = open_catalog(root)
    assert sorted(catalog.use_cases) == ["buys_again"]
    assert list(catalog.broken) == ["use_cases/other"]
    assert message in str(catalog.broken["use_cases/other"])
    with pytest.raises(DeclarationError, match="other"):
        catalog.use_case("other")
    with pytest.raises(DeclarationError):
        load_catalog(root)


def test_a_file_that_is_no_text_is_such_an_error(tmp_path: Path) -> None:
    """SQL saved in another encoding is reported with its folder."""
    root = write_catalog(tmp_path, OTHER)
    (root / "use_cases" / "other" / "features.sql").write_bytes("SELECT 'Müller'".encode("latin-1"))
    assert list(open_catalog(root).broken) == ["use_cases/other"]


def test_a_broken_domain_stops_no_other(tmp_path: Path) -> None:
    """Tables and use cases of other domains stay; what stands on it is broken too, and says where to begin."""
    on_web = USE_CASE.replace("buys_again", "other").replace("person_days", "visits").replace("towns", "places")
    changes = {**OTHER, **WEB, "use_cases/other/use_case.py": on_web, "domains/web/visits.sql": "SELECT 1"}
    catalog = open_catalog(write_catalog(tmp_path, changes))
    assert sorted(catalog.domains) == ["shop"]
    assert sorted(catalog.use_cases) == ["buys_again"]
    assert sorted(catalog.broken) == ["domains/web", "use_cases/other"]
    assert "domains/web could not be loaded either; fix that first." in str(catalog.broken["use_cases/other"])


def test_a_broken_fallback_leaves_the_look_ups(tmp_path: Path) -> None:
    """A use case goes on without its fallback, unless the fallback's known half is all that it publishes."""
    broken = {**OTHER, "use_cases/other/features.sql": "SELEC"}
    use_case = "use_cases/buys_again/use_case.py"
    first = open_catalog(write_catalog(tmp_path / "first", {**broken, use_case: with_fallback(lookup=True)}))
    assert first.use_case("buys_again").spec.serve.fallback is None
    assert list(first.broken) == ["use_cases/other"]
    second = open_catalog(write_catalog(tmp_path / "second", {**broken, use_case: with_fallback(lookup=False)}))
    assert sorted(second.broken) == ["use_cases/buys_again", "use_cases/other"]


def test_what_was_repaired_is_loaded(tmp_path: Path) -> None:
    """A broken catalog is read anew at its next loading, in the same process."""
    root = write_catalog(tmp_path, {**OTHER, "use_cases/other/features.sql": "SELEC"})
    assert open_catalog(root).broken
    write_catalog(tmp_path, OTHER)
    assert sorted(load_catalog(root).use_cases) == ["buys_again", "other"]
    assert open_catalog(root) is open_catalog(root)
