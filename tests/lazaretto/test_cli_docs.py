"""The pages are true: every command of tutorial and how-tos runs, and prints what they show."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import quick_commands

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def transcripts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("transcripts", DOCS / "generate/transcripts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["transcripts"] = module
    spec.loader.exec_module(module)
    return module


def test_every_command_of_the_pages_runs_and_prints_what_they_show(tmp_path: Path) -> None:
    pages = transcripts()
    shell = pages.Shell(tmp_path.resolve(), quick_commands())
    try:
        for name in pages.PAGES:
            for step in pages.play(shell, DOCS / name):
                assert step.code == 0, f"{name}: $ {step.command}\n{step.printed}"
                assert not step.differs, (
                    f"{name}: $ {step.command}\nthe page says:\n{step.told}\n"
                    f"it prints:\n{step.printed}\nrun `python docs/generate/transcripts.py`"
                )
    finally:
        shell.close()


def test_the_detector_of_the_how_to_works_as_a_plug_in(tmp_path: Path) -> None:
    """The page's code in a package of its own: registered, fitted, saved, restored, in shadow."""
    page = (DOCS / "how-to/add-a-detector.md").read_text("utf-8")
    code = re.search(r"```python title=\"angle.py\"\n(.*?)```", page, re.DOTALL)
    entry = re.search(r"(\[project.entry-points.*?\n)(.*?)\n```", page)
    assert code is not None
    assert entry is not None
    (tmp_path / "angle.py").write_text(code.group(1))
    info = tmp_path / "angle-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: angle\nVersion: 1\n")
    name = entry.group(2).replace('"', "")
    (info / "entry_points.txt").write_text(f"[lazaretto.detectors]\n{name}\n")
    script = """
import numpy as np, pyarrow as pa, lazaretto as lz
rng = np.random.default_rng(0)
def table(n):
    label = rng.integers(0, 3, n)
    vectors = rng.normal(size=(n, 8)).astype("float32") + 4 * np.eye(3, 8, dtype="float32")[label]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    return pa.table({"id": [str(i) for i in range(n)], "y": label, "x": vectors})
policy = lz.Policy.model_validate({
    "version": 1, "dataset": "d", "columns": {"record_id": "id", "label": "y", "embedding": "x"},
    "screen": {"false_quarantine_rate": 0.05, "min_poison_share": 0.2, "detectors":
               {"mahalanobis": {}, "angle": {"mode": "shadow", "shrink": 0.2}}}})
reference = lz.Reference.load(lz.Reference.fit(table(600), policy).save("references"))
batch = table(200)
flipped = (np.array(batch["y"][:30]) + 1) % 3
labels = np.concatenate([flipped, np.array(batch["y"][30:])])
result = lz.screen(batch.set_column(1, "y", pa.array(labels)), reference, policy)
said = {d.name: d for d in result.detectors}
assert said["angle"].mode == "shadow", said
assert said["angle"].would_hold >= 25, said
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    missing = []
    for page in DOCS.rglob("*.md"):
        if "generate" in page.parts:
            continue
        name = page.relative_to(DOCS).as_posix()
        if name not in navigation:
            missing.append(f"mkdocs.yml does not name {name}")
        text = page.read_text("utf-8")
        missing += [
            f"{name} links to {target}"
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
            if "://" not in target and not (page.parent / target).exists()
        ]
    named = re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE)
    missing += [f"mkdocs.yml names {name}" for name in named if not (DOCS / name).exists()]
    assert missing == []
