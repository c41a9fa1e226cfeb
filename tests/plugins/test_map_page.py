"""The map on the page: in a real browser with WebGL, without it, and over the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from on_the_map import READY, built, draw_lasso, wait_for
from yard import blobs

from lazaretto.plugins import assets
from lazaretto.quarantine import map_shown
from lazaretto.quarantine.map import HELD, map_of_case
from lazaretto.quarantine.map_plane import inside
from lazaretto.quarantine.map_shown import map_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient
    from yard import Yard

pytestmark = [pytest.mark.airflow, pytest.mark.webgl, pytest.mark.long]


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    return TestClient(SecureHeaders(create_app(lambda: yard.workspace)))


@pytest.fixture
def case(yard: Yard) -> str:
    """A third of the batch is mislabelled."""
    return str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=20)).case)


def test_the_map_is_kept_by_its_etag_and_asked_for_again(
    client: TestClient, case: str, yard: Yard, token: Callable[[str], dict[str, str]]
) -> None:
    headers = token("VIEWER")
    for path in ("map", "map.svg"):
        at = f"/api/v1/cases/{case}/{path}"
        answer = client.get(at, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, no-cache"
        etag = answer.headers["etag"]
        again = client.get(at, headers=headers | {"If-None-Match": f'"x", {etag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(at, headers=headers | {"If-None-Match": '"x"'}).status_code == 200
        assert client.get(at).status_code == 401
    assert client.get(f"/api/v1/cases/{case}/map", headers=headers).content == map_bytes(
        map_of_case(yard.workspace, case)
    )


def test_a_lasso_takes_what_lies_in_it_and_nonsense_is_refused_in_words(
    client: TestClient, case: str, yard: Yard, token: Callable[[str], dict[str, str]]
) -> None:
    headers = token("VIEWER")
    at = f"/api/v1/cases/{case}/map/inside"
    polygon = [(0, 0), (40_000, 0), (40_000, 65_535), (0, 65_535)]
    text = ",".join(f"{x},{y}" for x, y in polygon)
    found = map_of_case(yard.workspace, case)
    expected = found.position[inside(found.place[found.kind == HELD], polygon)].tolist()
    assert expected
    answer = client.get(at, params={"polygon": text}, headers=headers).json()
    assert answer == {"records": len(expected), "positions": expected}
    for wrong in ("", "1,2,3", "1,2,3,4", "a,b,c,d,e,f", "0,0,1,1,70000,2", "-1,0,1,1,2,2"):
        refused = client.get(at, params={"polygon": wrong}, headers=headers)
        assert refused.status_code == 422, wrong
        assert "polygon" in refused.json()["error"]
    assert client.get(at, params={"polygon": "1," * 9000}, headers=headers).status_code == 422


def test_a_case_without_a_map_says_why(
    client: TestClient, yard: Yard, token: Callable[[str], dict[str, str]]
) -> None:
    judged = yard.judge("broken", blobs(60, seed=5, prefix="m").drop_columns(["vector"]))
    for path in ("map", "map.svg", "scores"):
        answer = client.get(f"/api/v1/cases/{judged.case}/{path}", headers=token("VIEWER"))
        assert answer.status_code == 404
        assert "contract is broken as a whole" in answer.json()["error"]


@built
def test_a_lasso_selects_held_records_on_the_page(
    sign_in: Callable[..., Any], site: str, case: str, yard: Yard
) -> None:
    found = map_of_case(yard.workspace, case)
    page = sign_in("OP")
    page.goto(f"{site}/cases/{case}")
    wait_for(page, READY)
    assert page.locator("#map-words").inner_text() == found.words
    assert page.locator("#map-canvas").get_attribute("aria-label") == found.words
    assert page.locator("#map-legend").inner_text().split("\n")[2] == f"held ({found.held})"
    draw_lasso(page, [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)])
    told = page.locator("#map-said", has_text="selected on the map")
    told.wait_for()
    picked = _picked(page, case)
    # Those at the very edge are outside of what a hand drew.
    assert set(picked) <= set(found.position.tolist())
    assert len(picked) > found.held // 2
    assert page.locator("#selected").inner_text() == f"{len(picked)} selected"
    page.locator("#clear").click()
    assert page.locator("#selected").inner_text() == "none selected"
    assert page.wrong == []
    assert all(url.startswith(site) for url in page.asked)


@built
def test_of_very_many_records_a_lasso_takes_what_the_server_finds_in_it(
    sign_in: Callable[..., Any],
    site: str,
    case: str,
    yard: Yard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(map_shown, "MOST_POINTS", 3)
    found = map_of_case(yard.workspace, case)
    page = sign_in("OP")
    page.goto(f"{site}/cases/{case}")
    wait_for(page, READY)
    assert page.locator("#map-colour option").count() == 1
    draw_lasso(page, [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    page.locator("#map-said", has_text="selected on the map").wait_for()
    picked = _picked(page, case)
    assert set(picked) <= set(found.position.tolist())
    assert len(picked) > found.held // 2
    assert page.wrong == []


@built
def test_what_a_lasso_cannot_do_buttons_and_words_do(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    rows = blobs(60, seed=5, prefix="m", flips=4)
    vectors = np.array(rows["vector"].to_pylist(), dtype=np.float32)
    vectors[:3] = 30  # where no trusted record lies
    rows = rows.set_column(2, "vector", pa.array(list(vectors), pa.list_(pa.float32(), 8)))
    case = str(yard.judge("monday", rows).case)
    found = map_of_case(yard.workspace, case)
    apart = found.position[found.apart].tolist()
    assert {0, 1, 2} <= set(apart)
    page = sign_in("OP")
    page.goto(f"{site}/cases/{case}")
    wait_for(page, READY)
    page.locator("#map-apart").focus()
    page.keyboard.press("Enter")
    assert sorted(_picked(page, case)) == sorted(apart)
    for mode, text in (("label", "another label"), ("score", "no score"), ("decision", "waits")):
        page.locator("#map-colour").select_option(mode)
        page.locator("#map-legend", has_text=text).wait_for()
    page.locator("#map-move").click()
    assert page.locator("#map-move").get_attribute("aria-pressed") == "true"
    page.locator("#map-whole").click()
    page.locator("#scores-chart canvas").wait_for()
    assert "stated rate" in page.locator("#scores-words").inner_text()
    assert page.wrong == []


@built
def test_without_webgl_the_map_is_a_picture(
    sign_in: Callable[..., Any], site: str, case: str, yard: Yard
) -> None:
    page = sign_in("VIEWER")
    page.add_init_script(
        "HTMLCanvasElement.prototype.getContext = new Proxy("
        "HTMLCanvasElement.prototype.getContext, {apply: (to, at, [kind, ...more]) =>"
        " kind.startsWith('webgl') ? null : Reflect.apply(to, at, [kind, ...more])})"
    )
    page.goto(f"{site}/cases/{case}")
    picture = page.locator("#map-picture img")
    picture.wait_for()
    assert picture.get_attribute("alt") == map_of_case(yard.workspace, case).words
    assert "no WebGL" in page.locator("#map-said").inner_text()
    assert page.evaluate("document.querySelector('#map-picture img').decode().then(() => true)")
    assert page.wrong == []


def test_without_bundles_the_page_says_so_and_shows_picture_and_table(
    sign_in: Callable[..., Any], site: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {name: at for name, at in assets.known_files().items() if "/" not in name}
    monkeypatch.setattr(assets, "known_files", lambda: own)
    page = sign_in("OP")
    page.goto(f"{site}/cases/{case}")
    page.locator("#map-picture img").wait_for()
    page.locator("#scores-chart table").wait_for()
    assert "make ui-assets" in page.locator("#map").inner_text()
    assert page.locator("[data-action]").count() == 4
    assert page.wrong == []
    assert not [url for url in page.asked if "/bundled/" in url]


def test_a_case_without_a_map_says_why_on_the_page(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    judged = yard.judge("broken", blobs(60, seed=5, prefix="m").drop_columns(["vector"]))
    page = sign_in("VIEWER", width=400)
    page.goto(f"{site}/cases/{judged.case}")
    page.locator("#map-said", has_text="its batch has no vectors").or_(
        page.locator("#map-said", has_text="was not screened")
    ).wait_for()
    assert not page.locator("#map-shown").is_visible()
    assert not page.locator("#scores").is_visible()
    assert page.wrong == []


def _picked(page: Any, case: str) -> list[int]:
    """The page's selection."""
    kept = page.evaluate("key => sessionStorage.getItem(key)", f"lazaretto-picked-{case}")
    found: list[int] = json.loads(kept)
    return found
