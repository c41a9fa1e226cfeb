"""Writes the generated reference pages: `python docs/generate`. A test checks they are current."""

from __future__ import annotations

import json
from pathlib import Path

import api_page
import cli_page
import events_page
import policy_page

FOLDER = Path(__file__).parents[1] / "reference"
PAGES = {
    "cli.md": cli_page.page,
    "policy.md": policy_page.page,
    "detectors.md": api_page.detectors_page,
    "operators.md": api_page.operators_page,
    "python.md": api_page.python_page,
    "ledger-and-events.md": events_page.page,
}

SCHEMA = "trace.schema.json"
POLICY_SCHEMA = "policy.schema.json"
REPLAY_SCHEMA = "policy-replay.schema.json"

if __name__ == "__main__":
    for file, page in PAGES.items():
        (FOLDER / file).write_text(page(), encoding="utf-8")
    from lazaretto.lineage import trace_schema
    from lazaretto.policy import policy_schema
    from lazaretto.stages.policy_replay import replay_schema

    for name, schema in (
        (SCHEMA, trace_schema()),
        (POLICY_SCHEMA, policy_schema()),
        (REPLAY_SCHEMA, replay_schema()),
    ):
        (FOLDER / name).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
