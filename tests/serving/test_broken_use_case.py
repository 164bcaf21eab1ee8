"""The API over a catalog of which one use case is broken."""

from __future__ import annotations

from tests.serving.world import BUYS, NEWCOMER, TOWN, World


def test_a_broken_use_case_is_unavailable_and_stops_no_other(own_world: World) -> None:
    """The broken one answers 503, which is no "there is none"; the others answer, one of them without its fallback."""
    (own_world.catalog / "use_cases" / NEWCOMER / "features.sql").write_text("SELEC")
    with own_world.served() as world:
        answer = world.score(NEWCOMER, features={"f0": 1.0})
        assert (answer.status, answer.json["type"]) == (503, "/docs/problems#unavailable")
        assert "cannot be loaded" in answer.json["detail"]
        assert world.get(f"/v1/use-cases/{TOWN}").status == 200
        assert world.get(f"/v1/use-cases/{BUYS}").status == 200
        assert world.get("/readyz").status == 200
