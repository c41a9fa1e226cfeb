"""The pages are true: every command of tutorial and how-tos runs, and prints what they show."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

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
    shell = pages.Shell(tmp_path.resolve())
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
