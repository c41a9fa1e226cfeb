"""Photographs the README's page of a held batch: `python docs/generate/review_picture.py`.

The page is the one that the plugin serves to a signed-in user of Airflow, of a case that the demo
held; a headless Chromium draws it. Needs `chromium`, and `make demo` before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "build/demo"
PICTURE = ROOT / "docs/images/review.png"
SIZE = "1180,700"

sys.path.insert(0, str(ROOT / "tests/support"))


def pages(demo: Path) -> tuple[str, str]:
    """The demo's last case of single records, and the style sheet, as the plugin serves them."""
    import airflow_environment

    airflow_environment.use()
    airflow_environment.prepare_database()
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.quarantine.review import list_cases
    from lazaretto.storage.workspace import open_workspace

    manager = create_auth_manager()
    manager.init()
    jwt = manager.generate_jwt(SimpleAuthManagerUser(username="ann", role="VIEWER"))
    catalog = f"sqlite:///{demo / 'catalog.db'}"
    workspace = open_workspace(catalog_url=catalog, store=demo / "store")
    case = next(c for c in list_cases(workspace, state=None) if c.verdict == "HOLD_RECORDS")
    client = TestClient(create_app(lambda: workspace), headers={"Authorization": f"Bearer {jwt}"})
    page, style = client.get(f"/cases/{case.id}"), client.get("/static/review.css")
    page.raise_for_status()
    return page.text, style.raise_for_status().text


def photograph(page: str, style: str, picture: Path) -> None:
    """Draws the top of the page."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        link = '<link rel="stylesheet" href="/static/review.css">'
        file.write_text(page.replace(link, f"<style>{style}</style>"))
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command = ["chromium", *flags, f"--window-size={SIZE}", f"--screenshot={picture}"]
        subprocess.run([*command, file.as_uri()], check=True, env=os.environ | {"HOME": folder})


if __name__ == "__main__":
    photograph(*pages(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO), PICTURE)
