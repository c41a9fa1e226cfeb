"""How the plugin shows up in Airflow."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.airflow


def test_airflow_loads_it_and_shows_one_entry_in_the_menu() -> None:
    from airflow import plugins_manager

    apps, _ = plugins_manager.get_fastapi_plugins()
    assert [app["url_prefix"] for app in apps if app["name"] == "Lazaretto"] == ["/lazaretto"]
    assert plugins_manager.get_import_errors() == {}


def test_the_page_is_served_by_airflow_itself() -> None:
    from lazaretto.plugins.lazaretto_plugin import PREFIX, LazarettoPlugin

    (view,) = LazarettoPlugin.external_views
    assert view["href"] == f"{PREFIX}/"  # without the slash, Airflow's own page answers
    assert view["icon"].startswith(PREFIX)
    assert not [value for value in view.values() if "://" in value]
    (app,) = LazarettoPlugin.fastapi_apps
    assert app["url_prefix"] == PREFIX
    assert not PREFIX.startswith(("/api/v2", "/ui", "/execution", "/auth", "/pluginsv2"))


def test_the_link_of_a_task_leads_to_a_route_of_the_page() -> None:
    from starlette.routing import Match

    from lazaretto.operators.links import review_url
    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.lazaretto_plugin import PREFIX, LazarettoPlugin

    (view,) = LazarettoPlugin.external_views
    frame, inner = review_url("vendor/0123456789abcdef").split(PREFIX)
    assert frame == f"/plugin/{view['url_route']}"
    scope = {"type": "http", "method": "GET", "path": inner, "root_path": "", "headers": []}
    assert [r.path for r in create_app().routes if r.matches(scope)[0] is Match.FULL] == [
        "/batches/{batch:path}"
    ]


def test_it_answers_nobody_unasked_as_airflow_mounts_it() -> None:
    from starlette.testclient import TestClient

    from lazaretto.plugins.lazaretto_plugin import LazarettoPlugin

    response = TestClient(LazarettoPlugin.fastapi_apps[0]["app"]).get("/")
    assert response.status_code == 401
    assert "content-security-policy" in response.headers
