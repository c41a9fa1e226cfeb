from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lineage"))

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = os.environ.get("LAZARETTO_CONSUMERS")


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """The `bin` folder of another program's environment."""

    def found(name: str) -> Path:
        if FOLDER is None:
            pytest.skip("`make consumers` builds other programs, and runs this")
        home = Path(FOLDER).absolute() / name
        if not (home / ".installed").exists():
            pytest.skip(f"{name} could not be installed: see `make consumers`")
        return home / "bin"

    return found


@pytest.fixture(scope="session", params=["one of each", "the demo"])
def sent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All events of a ledger, as they are sent: one entry of every kind, or the demo's week."""
    if FOLDER is None:
        pytest.skip("`make consumers` builds other programs, and runs this")
    folder = tmp_path_factory.mktemp("sent")
    if request.param == "the demo":
        from lazaretto.demo import run_demo

        run_demo(out=folder / "demo")
        return folder / "demo" / "openlineage.jsonl"
    from ledger_history import History, one_of_each

    from lazaretto import lineage
    from lazaretto.storage.workspace import open_workspace

    workspace = open_workspace(
        catalog_url=f"sqlite:///{folder / 'catalog.db'}", store=folder / "store"
    )
    history = History(workspace)
    one_of_each(history)
    assert lineage.flush(workspace) == len(history.seqs)
    return folder / "store" / "lineage" / "events.jsonl"


@pytest.fixture(scope="session")
def events(sent: Path) -> list[dict[str, Any]]:
    """The same, read."""
    return [json.loads(line) for line in sent.read_text().splitlines()]


@pytest.fixture(scope="session")
def written(events: list[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """Versions that events of success name as written, by dataset, each as often as it is named."""
    found: dict[tuple[str, str], list[str]] = {}
    for event in events:
        for output in event["outputs"] if event["eventType"] == "COMPLETE" else []:
            version = output["facets"].get("version", {}).get("datasetVersion", "")
            found.setdefault((output["namespace"], output["name"]), []).append(version)
    return found


@pytest.fixture(scope="session")
def models(events: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Datasets that are registered models."""
    return {
        (output["namespace"], output["name"])
        for event in events
        for output in event["outputs"]
        if output["facets"].get("datasetType", {}).get("datasetType") == "MODEL"
    }
