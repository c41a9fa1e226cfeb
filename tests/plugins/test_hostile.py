"""Hundreds of hostile texts and pictures in every field, in a real browser: nothing happens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from hostile import pictures, texts
from many import some
from on_the_map import READY, built, wait_for
from yard import Yard, blobs, make_policy

from lazaretto.errors import DeliveryError
from lazaretto.quarantine import handling, review
from lazaretto.stages.receive import receive
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.airflow, pytest.mark.long]
PIL = pytest.importorskip("PIL", reason="pip install 'lazaretto[images]'")
TEXTS = texts()
WIDTHS = (400, 1280)
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
EVENT_LOOP = "() => new Promise((done) => setTimeout(done, 0))"


@pytest.fixture
def case(yard: Yard, tmp_path: Path) -> str:
    """A case with all of it: ids, labels, texts, pictures, names of columns, remarks, reasons."""
    count = len(TEXTS)
    kinds, rows = pictures(), blobs(count, seed=9)
    columns = {
        "id": [f"{text[:200]}#{number}" for number, text in enumerate(TEXTS)],
        "label": [text[:200] for text in TEXTS],
        "vector": rows["vector"],
        "text": TEXTS,
        "image": pa.array([kinds[n % len(kinds)] for n in range(count)], pa.binary()),
        "sound": pa.array([b"RIFF\xff\xff\xff\xffWAVEfmt " + kinds[n % 3] for n in range(count)]),
        "nested": [[{"k": text[:300]}] for text in TEXTS],
    }
    hostile = [text[:100] for text in TEXTS[::40] if text.strip() and "\x00" not in text]
    columns |= {name: [TEXTS[-1 - number]] * count for number, name in enumerate(hostile)}
    names = ["text", "image", "sound", "nested", *hostile]
    policy = make_policy(columns={**_columns(), "payload": names})
    judged = replace(yard, policy=policy).judge("evil", pa.table(columns))
    assert judged.held == count
    found = str(judged.case)
    for text in TEXTS[::12]:
        if text.strip():
            handling.comment(yard.workspace, found, text[:4000])
    handling.assign(yard.workspace, found, TEXTS[0][:255])
    reason = "".join(TEXTS[:20])[:2000]
    review.decide(yard.workspace, found, Action.REJECT, positions=[0, 1], reason=reason)
    for number, text in enumerate(TEXTS[::30]):
        file = tmp_path / f"delivery{number}.csv"
        file.write_text("id\n1\n")
        with pytest.raises(DeliveryError):
            receive(yard.workspace, file, f"nobody {text[:150]}", policy=policy)
    return found


def _columns() -> dict[str, Any]:
    return {"record_id": "id", "label": "label", "embedding": "vector"}


def test_no_script_runs_nothing_leaves_and_no_page_breaks(
    sign_in: Callable[..., Any], site: str, case: str
) -> None:
    page = sign_in("OP")
    at, visited = f"{site}/cases/{case}", 0
    addresses = [f"{site}/", f"{site}/refused", f"{site}/sources", f"{site}/gates", at]
    addresses += [f"{site}/?source={quote(text[:500])}" for text in some(TEXTS[::60], 2)]
    addresses += [f"{at}?label={quote(text[:200])}" for text in some(TEXTS[::60], 2)]
    addresses += [f"{at}/records/{position}" for position in some(range(0, len(TEXTS), 24), 2)]
    while addresses:
        address = addresses.pop(0)
        response = page.goto(address)
        assert response.status in (200, 404, 422), address
        page.evaluate(EVENT_LOOP)
        visited += 1
        _is_whole(page, address)
        following = page.locator('nav[aria-label="Pages of records"] a[rel="next"]')
        if address.startswith(at) and "/records/" not in address and following.count():
            addresses.insert(0, page.evaluate("e => e.href", following.element_handle()))
    assert visited > len(TEXTS) // 50
    assert page.wrong == []
    assert all(url.startswith(site) for url in page.asked), page.asked


@built
def test_a_map_of_hostile_records_is_drawn_and_nothing_else_happens(
    sign_in: Callable[..., Any], site: str, case: str
) -> None:
    page = sign_in("OP", webgl=True)
    page.goto(f"{site}/cases/{case}")
    wait_for(page, READY)
    page.evaluate(EVENT_LOOP)
    _is_whole(page, page.url)
    assert page.wrong == []
    assert all(url.startswith(site) for url in page.asked), page.asked


def _is_whole(page: Any, address: str) -> None:
    assert page.evaluate("window.owned") is None, address
    assert page.title() != "owned", address
    assert page.locator("main, h1").count() >= 1, address
    for width in reversed(WIDTHS):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(WIDE) <= 0, (address, width)


def test_there_are_at_least_three_hundred() -> None:
    assert len(set(TEXTS)) >= 300
