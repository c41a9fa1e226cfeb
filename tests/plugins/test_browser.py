"""A whole review in a real browser, as a person does it: with the keyboard, bulk, undo, publish."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from yard import Yard, blobs

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, RecordsDecided

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"


def _decided(yard: Yard) -> list[tuple[str, str, int]]:
    with yard.workspace.catalog.read() as connection:
        found = entries(connection, kinds=[RecordsDecided.kind])
        return [
            (one.actor.id, one.event.action.value, one.event.records)  # type: ignore[union-attr]
            for one in found
        ]


def _answer(page: Any, reason: str, **more: str) -> None:
    """Fills in the dialog and waits until what was decided is said."""
    dialog = page.locator("#ask")
    for name, value in {"reason": reason, **more}.items():
        dialog.locator(f"[name={name}]").fill(value)
    with page.expect_navigation():
        dialog.locator("button.go").click()


def _picture(page: Any, name: str) -> None:
    """Kept where LAZARETTO_PICTURES names a folder: the pictures of the docs are made so."""
    if folder := os.environ.get("LAZARETTO_PICTURES"):
        page.locator("#review").scroll_into_view_if_needed()
        page.screenshot(path=f"{folder}/{name}.png")


def test_a_review_by_keyboard_in_bulk_and_back(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    judged = yard.judge("monday", blobs(240, seed=5, prefix="m", flips=120))
    assert judged.held >= 120
    page = sign_in("OP")
    page.goto(f"{site}/cases/{judged.case}")
    page.keyboard.press("j")
    page.keyboard.press("Space")
    page.keyboard.press("j")
    page.keyboard.press("Space")
    assert page.locator("#selected").inner_text() == "2 selected"
    _picture(page, "review-page")
    page.keyboard.press("r")
    _answer(page, "looked at both")
    assert page.locator("#said").inner_text() == "Release: 2 records."
    page.keyboard.press("u")
    _answer(page, "on second thought")
    page.locator("#everything").check()
    page.locator("[data-action=REJECT]").click()
    dialog = page.locator("#ask")
    dialog.locator("[name=reason]").fill("mislabelled")
    dialog.locator("button.go").click()
    assert dialog.is_visible()  # more than a hundred: the number must be typed
    _answer(page, "mislabelled", confirm=str(judged.held))
    first = page.locator("[name=record]").first
    first.check()
    page.locator("[data-action=RELABEL]").click()
    _answer(page, "it is a one", label="1")
    with page.expect_navigation():
        page.locator("#publish").click()
    assert "Published 1 records as version" in page.locator("#said").inner_text()
    assert _decided(yard) == [
        ("user:op", "RELEASE", 2),
        ("user:op", "RELEASE", 2),  # its undo
        ("user:op", "REJECT", judged.held),
        ("user:op", "RELABEL", 1),
    ]
    with yard.workspace.catalog.read() as connection:
        (published,) = entries(connection, kinds=[BatchAdmitted.kind])
    assert published.actor.id == "user:op"
    assert yard.ids() == [yard.dataset()["_lazaretto_record"].to_pylist()[0]]
    assert page.wrong == []
    assert all(url.startswith(site) for url in page.asked)


def test_who_comes_second_is_told(sign_in: Callable[..., Any], site: str, yard: Yard) -> None:
    case = yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case
    ann, bob = sign_in("OP"), sign_in("ADMIN")
    for page in (ann, bob):
        page.goto(f"{site}/cases/{case}")
        page.locator("[name=record]").first.check()
    ann.keyboard.press("x")
    _answer(ann, "no")
    bob.keyboard.press("r")
    bob.locator("#ask [name=reason]").fill("yes")
    bob.locator("#ask button.go").click()
    bob.locator("#said", has_text="meanwhile").wait_for()
    assert [who for who, _, _ in _decided(yard)] == ["user:op"]


def test_nothing_runs_nothing_leaves_and_nothing_overflows(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    rows = blobs(60, seed=6, prefix=HOSTILE, flips=8)
    rows = rows.set_column(3, "text", [[HOSTILE + "A" * 3000] * 60])
    case = yard.judge("evil", rows).case
    for role in ("VIEWER", "OP"):
        page = sign_in(role)
        for path in ("/", f"/cases/{case}"):
            page.goto(f"{site}{path}")
            wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            for width in (400, 1280, 1920):
                page.set_viewport_size({"width": width, "height": 900})
                assert not page.evaluate(wide), (path, width)
                if path != "/":
                    _picture(page, f"review-{role.lower()}-{width}")
            assert page.title() != "owned"
        assert page.locator("[data-action]").count() == (4 if role == "OP" else 0)
        assert page.wrong == []
        assert all(url.startswith(site) for url in page.asked)
