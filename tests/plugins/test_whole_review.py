"""A whole review as people do it, map and lasso included; then dataset, ledger and trace agree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from on_the_map import READY, built, draw_lasso, wait_for
from yard import Yard, blobs, make_policy

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, HeldRecordsRead, RecordsDecided
from lazaretto.ledger.verify import verify
from lazaretto.lineage import trace_record

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.airflow, pytest.mark.webgl, pytest.mark.long]


def _answer(page: Any, reason: str, **more: str) -> None:
    """Fills in the dialog and waits until what was decided is said."""
    for name, value in {"reason": reason, **more}.items():
        page.locator(f"#ask [name={name}]").fill(value)
    with page.expect_navigation():
        page.locator("#ask button.go").click()
    page.locator("#said", has_text=".").wait_for()


def _picture(page: Any, name: str) -> None:
    """Kept where LAZARETTO_PICTURES names a folder: the pictures of the docs are made so."""
    if folder := os.environ.get("LAZARETTO_PICTURES"):
        page.set_viewport_size({"width": page.viewport_size["width"], "height": 1900})
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=f"{folder}/{name}.png")


def _events(yard: Yard, kind: Any) -> list[Any]:
    with yard.workspace.catalog.read() as connection:
        return list(entries(connection, kinds=[kind.kind]))


@built
def test_from_the_inbox_to_the_trace(sign_in: Callable[..., Any], site: str, yard: Yard) -> None:
    strict = Yard(yard.workspace, make_policy(review={"require_two_people": True}), yard.folder)
    judged = strict.judge("monday", blobs(60, seed=5, prefix="m", flips=20))
    ann, case = sign_in("OP"), str(judged.case)
    ann.goto(f"{site}/")
    ann.locator(f'a[href$="{case}"]').click()
    assert f"{judged.held} of 60 records are held" in ann.locator(".conclusion").inner_text()
    ann.get_by_role("button", name="Take it").click()
    ann.locator("#said", has_text="It is yours now.").wait_for()
    wait_for(ann, READY)
    draw_lasso(ann, [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    ann.locator("#map-said", has_text="selected on the map").wait_for()
    lassoed = int(ann.locator("#selected").inner_text().split()[0])
    assert lassoed > judged.held // 2
    ann.keyboard.press("r")
    _answer(ann, "a new kind of them")
    ann.get_by_role("button", name="Undo (u)").click()
    _answer(ann, "on second thought")
    ann.keyboard.press("j")
    ann.keyboard.press("Space")
    ann.keyboard.press("l")
    _answer(ann, "it is a one", label="1")
    ann.goto(f"{site}/cases/{case}?action=UNDECIDED#records")
    ann.locator("#everything").check()
    ann.keyboard.press("x")
    _answer(ann, "mislabelled")
    ann.locator("#publish").click()  # who decided cannot be the only one
    ann.locator("#said", has_text="somebody else publishes").wait_for()
    bob = sign_in("ADMIN")
    bob.goto(f"{site}/cases/{case}")
    bob.locator("#publish").click()
    bob.locator("#said", has_text="Published 1 records as version").wait_for()

    (row,) = strict.dataset().to_pylist()
    assert (row["_lazaretto_record"], row["label"]) == ("m0", 1)
    decided = [
        (e.actor.id, e.event.action.value, e.event.records) for e in _events(yard, RecordsDecided)
    ]
    assert decided == [
        ("user:op", "RELEASE", lassoed),
        ("user:op", "RELEASE", lassoed),  # its undo
        ("user:op", "RELABEL", 1),
        ("user:op", "REJECT", judged.held - 1),
    ]
    (published,) = _events(yard, BatchAdmitted)
    assert published.actor.id == "user:admin"
    assert {e.actor.id for e in _events(yard, HeldRecordsRead)} == {"user:op", "user:admin"}
    assert verify(yard.workspace).ok
    traced = trace_record(yard.workspace, f"{judged.batch}#m0").record
    assert traced is not None
    assert (traced.decided_by, traced.published_by) == ("user:op", "user:admin")
    for page in (ann, bob):
        assert page.wrong == []
        assert all(url.startswith(site) for url in page.asked)


@built
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_and_is_kept_as_a_picture(
    sign_in: Callable[..., Any], site: str, yard: Yard, theme: str
) -> None:
    case = yard.judge("monday", blobs(60, seed=5, prefix="m", flips=6)).case
    for width in (400, 1280):
        page = sign_in("OP", width=width)
        page.goto(f"{site}/")
        page.evaluate("theme => localStorage.setItem('theme', theme)", theme)  # as Airflow keeps it
        page.goto(f"{site}/cases/{case}")
        wait_for(page, READY)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
        _picture(page, f"review-{width}-{theme}")
