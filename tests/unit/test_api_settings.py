"""Settings of the API: what is meant is understood, and what cannot be meant is refused by the setting's name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving_assets.errors import InputError
from serving_assets.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", ""),
        ("*", "*"),
        (" * ", "*"),
        ("https://Shop.Example/", "https://shop.example"),
        ("HTTPS://shop.example:443, http://a.example:80/", "https://shop.example,http://a.example"),
        ("https://shop.example:8443,", "https://shop.example:8443"),
        ("http://[::1]:3000,http://127.0.0.1:3000", "http://[::1]:3000,http://127.0.0.1:3000"),
        ("https://a.example,https://A.example/", "https://a.example"),
        ("https://xn--mller-kva.example", "https://xn--mller-kva.example"),
    ],
)
def test_origins_become_what_browsers_send(given: str, meant: str) -> None:
    """Capitals, a default port, a slash at the end and spaces change nothing."""
    assert Settings(api_cors_origins=given).api_cors_origins == meant


@pytest.mark.parametrize(
    ("given", "meant"), [("", ""), ("/", ""), ("/ml", "/ml"), ("/ml/", "/ml"), ("/a/b-1", "/a/b-1")]
)
def test_a_prefix_has_no_slash_at_its_end(given: str, meant: str) -> None:
    """A slash at the end of a prefix changes nothing."""
    assert Settings(api_root_path=given).api_root_path == meant


NUMBERS = {
    "API_CACHE_MB": ["-1", "many", "1.5", "nan"],
    "API_CONCURRENCY": ["0", "-1", "inf"],
    "API_REQUEST_SECONDS": ["0", "-1", "nan", "inf", "2s"],
    "API_STORE_SECONDS": ["0", "-1", "nan", "inf", ""],
    "API_KEEP_ALIVE_SECONDS": ["0", "-1", "1e9999", "forever"],
    "API_BODY_BYTES": ["0", "1 MiB"],
    "API_BATCH_IDS": ["0", "1,000"],
}
TEXTS = {
    "API_CORS_ORIGINS": [
        "shop.example",
        "https://shop.example/page",
        "https://shop.example?x",
        "ftp://shop.example",
        "null",
        "https://*.shop.example",
        "*,https://shop.example",
        "https://müller.example",
        "https://user@shop.example",
        "https://shop.example:99999",
        "https://sh op.example",
        "https://",
        "https://shop.example;https://b.example",
    ],
    "API_ROOT_PATH": [
        "ml",
        "https://shop.example/ml",
        "/a b",
        "/a//b",
        "/../ml",
        "/./ml",
        "/ml?x",
        "//ml",
        "/v1",
        "/docs/x",
    ],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in {**NUMBERS, **TEXTS}.items() for value in values]
)
def test_what_cannot_be_meant_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value that a setting cannot have is refused when settings are read, and the message names the setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as found:
        get_settings()
    assert found.value.message.startswith(f"{name}: ")
    assert "settings.env" in found.value.hint


def test_every_setting_of_the_api_has_values_that_are_refused() -> None:
    """A new setting of the API is listed here with what it refuses."""
    assert {name.upper() for name in Settings.model_fields if name.startswith("api_")} == {*NUMBERS, *TEXTS}
