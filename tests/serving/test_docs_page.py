"""The documentation page, opened by a real browser. Not here: the documentation's text and examples (test_docs.py)."""

from __future__ import annotations

from pathlib import Path

from tests.serving.browser import blank_page
from tests.serving.world import World

SHOWN = "document.querySelectorAll('.opblock').length"
LIVE = "[...document.querySelectorAll('.opblock')].find(block => block.id.endsWith('-live'))"


def test_the_page_needs_nothing_from_elsewhere(world: World, tmp_path: Path) -> None:
    """The page shows every operation and tries one, asks nobody but this server, and its console has no complaint."""
    documented = world.get("/openapi.json").json["paths"]
    home = f"http://127.0.0.1:{world.port}/"
    with blank_page(tmp_path) as page:
        page.open(f"{home}docs")
        page.wait_for(SHOWN)
        assert page.value(SHOWN) == sum(len(operations) for operations in documented.values())
        page.value(f"{LIVE}.querySelector('.opblock-summary-control').click()")
        for button in (".try-out__btn", ".execute"):
            page.wait_for(f"!!{LIVE}.querySelector('{button}')")
            page.value(f"{LIVE}.querySelector('{button}').click()")
        answer = page.wait_for(f"{LIVE}.querySelector('.live-responses-table')?.innerText")
        asked, complaints = page.asked, page.complaints
    assert '"status": "ok"' in answer
    assert [address for address in asked if not address.startswith((home, "data:"))] == []
    assert f"{home}livez" in asked
    assert complaints == []
