"""Keyboard and screen reader, in both themes: axe finds nothing serious on any page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from yard import Yard, blobs

from lazaretto import incidents, stages
from lazaretto.quarantine import handling, review
from lazaretto.values import Action, HoldKind, Question

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.airflow, pytest.mark.webgl, pytest.mark.long]
AXE = Path(__file__).parents[2] / "plugins/web/node_modules/axe-core/axe.min.js"
needs_axe = pytest.mark.skipif(not AXE.exists(), reason="needs npm: make ui-assets")
SERIOUS = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
}"""


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    sign_in: Callable[..., Any], site: str, yard: Yard, theme: str
) -> None:
    judged = yard.judge("monday", blobs(60, seed=5, prefix="m", flips=6))
    case = str(judged.case)
    handling.comment(yard.workspace, case, "a remark")
    review.decide(yard.workspace, case, Action.REJECT, positions=[0], reason="no")
    stages.admit(yard.workspace, judged.batch)
    taken = stages.snapshot(yard.workspace, yard.policy.dataset)
    stages.register_model(yard.workspace, "net", "1", yard.policy.dataset, taken.version)
    asked, hold = Question("source", "vendor-a"), (HoldKind.SOURCE, "vendor-a")
    opened = incidents.open_incident(yard.workspace, asked, reason="a bucket", holds=[hold])
    incidents.note(yard.workspace, opened.id, "the vendor confirms it")
    page = sign_in("OP", color_scheme=theme)
    for path in (
        "/",
        f"/cases/{case}",
        f"/cases/{case}/records/0",
        "/refused",
        "/sources",
        "/sources/vendor-a",
        "/sources/vendor-a/trace",
        "/gates",
        f"/gates/{yard.policy.dataset}",
        f"/gates/{yard.policy.dataset}/explore",
        "/incidents",
        f"/incidents/{opened.id}",
        "/models",
        "/models/version?registry=local&model=net&version=1",
        "/cases/case-none",
    ):
        page.goto(f"{site}{path}")
        page.evaluate(AXE.read_text())
        assert page.evaluate(SERIOUS) == [], path


def test_a_keyboard_reaches_what_a_mouse_does(
    sign_in: Callable[..., Any], site: str, yard: Yard
) -> None:
    case = yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case
    page = sign_in("OP")
    page.goto(f"{site}/cases/{case}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()
    page.keyboard.press("j")
    page.keyboard.press("Space")
    page.keyboard.press("x")
    assert page.evaluate("document.activeElement.closest('dialog').id") == "ask"
    page.keyboard.press("Escape")
    assert not page.locator("#ask").is_visible()
    assert review.list_decisions(yard.workspace, str(case)) == []
