"""How the ledger is shown to people: reports, entries, checkpoints and proofs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from lazaretto.cli.layout import Document, facts, grid
from lazaretto.cli.text import cell, counted, plain

if TYPE_CHECKING:
    from lazaretto.ledger.browse import Page, StoredEntry
    from lazaretto.ledger.proof import ProofReport
    from lazaretto.ledger.report import LedgerReport
    from lazaretto.ledger.signing import TakenCheckpoint

_SHOWN_PROBLEMS = 20
_UNCHECKED = "not checked (no --key)"
# What a line of the list says of an event, as far as it has it.
_TOLD = (
    "batch",
    "case",
    "source",
    "dataset",
    "version",
    "reference",
    "model",
    "key_id",
    "verdict",
    "action",
    "code",
    "rows",
    "held",
    "records",
    "size",
    "path",
    "reason",
)


def report_view(report: LedgerReport, *, keys: bool) -> RenderableType:
    """What verifying found."""
    from lazaretto.ledger.report import Outcome, SignatureCheck

    words = {
        Outcome.HOLDS: "holds",
        Outcome.VIOLATED: "DOES NOT HOLD",
        Outcome.NOTHING: "nothing to verify: nothing was ever written to this catalog",
    }
    checkpoints = report.checkpoints
    signed = sum(c.signature is SignatureCheck.VERIFIED for c in checkpoints)
    shown: dict[str, object] = {"ledger": words[report.outcome], "entries": report.entries}
    if checkpoints:
        shown |= {
            "checkpoints": f"{sum(c.holds for c in checkpoints)} of {len(checkpoints)} agree",
            "signatures": f"{signed} of {len(checkpoints)} verified" if keys else _UNCHECKED,
            "covered": f"the first {report.covered} of {report.entries} entries",
        }
    elif report.entries:
        shown["checkpoints"] = "none: only they show that a ledger was rewritten as a whole"
    problems = [f"problem: {one.what}" for one in (*report.problems, *report.reports)]
    more = len(problems) - _SHOWN_PROBLEMS
    if more > 0:
        problems = [*problems[:_SHOWN_PROBLEMS], f"and {counted(more, 'problem')} more (--json)"]
    steps = [
        f"clock: entry {step.seq} of {step.actor} says {step.at}, the one before it says "
        f"{step.before}: one of the two clocks was wrong"
        for step in report.clock_steps
    ]
    more = len(steps) - _SHOWN_PROBLEMS
    if more > 0:
        steps = [*steps[:_SHOWN_PROBLEMS], f"and {counted(more, 'such entry')} more (--json)"]
    return Group(
        facts(shown),
        *(cell(line, "red") for line in problems),
        *(cell(line, "yellow") for line in steps),
    )


def proof_view(report: ProofReport) -> RenderableType:
    """What a proof shows, or why it shows nothing."""
    from lazaretto.ledger.report import SignatureCheck

    outcome = "NOT PROVEN" if report.problem else "proven"
    if report.undecided:
        outcome = "cannot say: nobody vouches for the checkpoint. Add --key or --checkpoint"
    checked = report.signature is not SignatureCheck.NOT_CHECKED
    shown = {
        outcome: f"that {report.what}",
        "ledger": report.origin,
        "signature": report.signature.value if checked else _UNCHECKED,
    }
    if report.problem:
        shown["problem"] = report.problem
    entry = [] if report.entry is None else [_whole(report.entry)]
    return Group(facts(shown), *entry)


def checkpoint_view(taken: TakenCheckpoint) -> RenderableType:
    """A checkpoint that was just taken, with its text to keep."""
    shown = {
        "checkpoint": taken.path,
        "entries": taken.size,
        "verifier key": taken.verifier_key,
        "new": "yes" if taken.new else "no: nothing happened since it was taken",
    }
    note = plain(taken.note, keep_newlines=True).rstrip("\n")
    return Group(facts(shown), Text(""), Document(note))


def page_view(page: Page, *, full: bool, onward: bool) -> RenderableType:
    """Entries, one on a line, or each as a whole."""
    if full:
        parts: list[RenderableType] = [entry_view(entry) for entry in page.entries]
    else:
        rows = [
            (entry.seq, entry.at[:19] + "Z", entry.kind, entry.actor["id"], _about(entry))
            for entry in page.entries
        ]
        parts = [grid(["entry", "time", "kind", "by", "about"], rows, text=["about"])]
    if page.more and onward:
        parts.append(cell(f"more: add --after {page.entries[-1].seq}"))
    elif page.more:
        parts.append(cell("older ones fit, too: raise --limit, or read from the start: --after 0"))
    return Group(*parts)


def entry_view(entry: StoredEntry) -> RenderableType:
    """One entry with all it has."""
    shown: dict[str, object] = {
        "entry": entry.seq,
        "time": entry.at,
        "kind": entry.kind,
        "by": f"{entry.actor['id']} ({entry.actor['type']})",
        "hash": entry.hash if entry.intact else f"{entry.hash} DOES NOT MATCH: it was edited",
        "before": entry.prev,
    }
    return Group(facts(shown), _whole(entry.payload))


def _whole(value: Any) -> Document:
    """A value from outside as JSON in ASCII: nothing in it can move a cursor."""
    return Document(json.dumps(value, indent=2, ensure_ascii=True), json=True)


def _about(entry: StoredEntry) -> str:
    if not entry.intact:
        return "EDITED: its hash does not match"
    payload = entry.payload or {}
    told = [f"{name} {payload[name]}" for name in _TOLD if isinstance(payload.get(name), str | int)]
    return ", ".join(told)
