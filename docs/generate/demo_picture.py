"""Draws the README's picture from a demo's summary: `python docs/generate/demo_picture.py`."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from lazaretto.cli.demo import view

ROOT = Path(__file__).parents[2]
SUMMARY = ROOT / "build/demo/summary.json"
PICTURE = ROOT / "docs/images/demo.svg"

if __name__ == "__main__":
    # Paths as they would be from the project's folder; fonts of the reader's own machine.
    summary = json.loads(SUMMARY.read_text().replace(f"{ROOT}/", ""))
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console = Console(record=True, width=150, file=StringIO())
    console.print(view(summary, Path("build/demo")))
    PICTURE.write_text(console.export_svg(title="make demo", code_format=template))
