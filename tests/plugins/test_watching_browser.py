"""The pages of sources and gates in a real browser: nothing overflows, nothing is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from yard import blobs

from lazaretto import stages
from lazaretto.errors import DeliveryError
from lazaretto.sources.keys import keygen
from lazaretto.sources.registry import add_key, revoke_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from yard import Yard

pytestmark = pytest.mark.airflow
PAGES = (
    "/sources",
    "/sources/vendor-a",
    "/sources/vendor-a/trace",
    "/gates",
    "/gates/blobs",
    "/gates/blobs/explore",
)
LONG = "A" * 600


@pytest.fixture
def watched(yard: Yard) -> Yard:
    """A source with deliveries, keys and refusals, and a model that learned from it."""
    workspace = yard.workspace
    for number in range(6):
        judged = yard.judge(f"d{number}", blobs(60, 5 + number, prefix=f"{number}-", flips=number))
        stages.admit(workspace, judged.batch)
    taken = stages.snapshot(workspace, "blobs")
    stages.register_model(workspace, LONG[:200], "1", "blobs", taken.version)
    lost = add_key(workspace, "vendor-a", keygen()[1])
    revoke_key(workspace, "vendor-a", lost.key_id, reason=LONG)
    file = yard.folder / f"{LONG[:200]}.csv"
    file.write_text("id\n1\n")
    with pytest.raises(DeliveryError):
        stages.receive(workspace, file, "vendor-a", policy=_signed(yard))
    return yard


def _signed(yard: Yard) -> Any:
    return yard.policy.model_copy(
        update={"sources": yard.policy.sources.model_copy(update={"require_signature": True})}
    )


def test_nothing_runs_nothing_leaves_and_nothing_overflows(
    sign_in: Callable[..., Any], site: str, watched: Yard
) -> None:
    page = sign_in("VIEWER")
    for path in PAGES:
        answered = page.goto(f"{site}{path}")
        assert answered.status == 200, path
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        for width in (400, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert not page.evaluate(wide), (path, width)
            if folder := os.environ.get("LAZARETTO_PICTURES"):
                name = path.strip("/").replace("/", "-")
                page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)
    assert page.wrong == []
    assert all(url.startswith(site) for url in page.asked)


def test_a_person_goes_from_a_source_to_its_blast_radius_and_to_other_rates(
    sign_in: Callable[..., Any], site: str, watched: Yard
) -> None:
    page = sign_in("VIEWER")
    page.goto(f"{site}/sources")
    page.get_by_role("link", name="vendor-a").click()
    page.get_by_role("link", name="Trace everything").click()
    assert "model version" in page.locator(".conclusion").inner_text()
    page.get_by_label("Received or collected from").fill("2020-01-01")
    page.get_by_label("until").fill("2020-01-02")
    page.get_by_role("button", name="Trace").click()
    assert "Cannot say" in page.locator(".conclusion").inner_text()
    page.get_by_role("link", name="Gates").click()
    page.get_by_role("link", name="blobs").click()
    page.get_by_label("Batches").fill("3")
    page.get_by_role("button", name="Explore").click()
    assert page.locator(".conclusion").inner_text().startswith("3 batches with 180 records")
    assert page.locator("tr.now").count() == 1
    assert page.wrong == []
