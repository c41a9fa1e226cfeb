"""The pages look as Airflow does: its theme, in its frame or alone, from the first moment on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
SHOWN = (
    "[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor,"
    " getComputedStyle(document.documentElement).colorScheme]"
)
LIGHT = ["light", "rgb(255, 255, 255)", "light"]
DARK = ["dark", "rgb(18, 22, 29)", "dark"]


@pytest.mark.parametrize(
    ("chosen", "system", "shown"),
    [
        ("dark", "light", DARK),
        ("light", "dark", LIGHT),
        ("system", "dark", DARK),
        (None, "light", LIGHT),
        ("<b>", "dark", DARK),
    ],
)
def test_airflow_s_choice_comes_before_the_system_s(
    sign_in: Callable[..., Any], site: str, chosen: str | None, system: str, shown: list[str]
) -> None:
    page = sign_in("VIEWER", color_scheme=system)
    page.goto(f"{site}/")
    if chosen is not None:
        page.evaluate("value => localStorage.setItem('theme', value)", chosen)
    page.goto(f"{site}/")
    assert page.evaluate(SHOWN) == shown
    assert page.wrong == []


def test_a_change_in_airflow_is_followed_at_once(sign_in: Callable[..., Any], site: str) -> None:
    """As next-themes does it: localStorage, and a class of the document around the frame."""
    airflow = sign_in("VIEWER", color_scheme="light")
    airflow.goto(f"{site}/static/lazaretto.svg")  # a page of the same origin, without our script
    airflow.goto(f"{site}/")
    airflow.evaluate(
        """address => {
          document.documentElement.removeAttribute("data-theme");
          const frame = document.createElement("iframe");
          frame.src = address;
          document.body.replaceChildren(frame);
          return new Promise((loaded) => { frame.onload = () => loaded(null); });
        }""",
        f"{site}/refused",
    )
    (frame,) = airflow.main_frame.child_frames
    assert frame.evaluate(SHOWN)[0] == "light"
    airflow.evaluate("document.documentElement.classList.add('dark')")
    frame.locator(":root[data-theme=dark]").wait_for()
    assert frame.evaluate(SHOWN) == DARK
    other = airflow.context.new_page()
    other.goto(f"{site}/")
    airflow.evaluate("localStorage.setItem('theme', 'dark')")
    other.locator(":root[data-theme=dark]").wait_for()
    assert other.evaluate(SHOWN) == DARK
