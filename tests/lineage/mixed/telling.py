"""Tells a history in plain words: what happened, what was lost, and the events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mixed.facts import moment
from mixed.oracle import made_of

if TYPE_CHECKING:
    from mixed.case import Case
    from mixed.facts import Made, Run, Seen
    from mixed.judge import Wrong


def tell_case(case: Case, found: list[Wrong]) -> str:
    """A history with what is wrong about the answers."""
    story = case.story
    lines = [f"seed {story.seed}: {len(found)} wrong"]
    lines += [f"  [{wrong.check}] {wrong.question}: {wrong.text}" for wrong in found]
    lines.append("what happened:")
    happened = [(at, _entry(kind, values)) for at, kind, values in case.world.ledger]
    happened += [(run.job.at, _run(case, run)) for run in case.world.runs]
    lines += [f"  {moment(at):%d %H:%M:%S} {text}" for at, text in sorted(happened)]
    for model, state in sorted(case.world.models.items()):
        batches = ", ".join(sorted(made_of(case.world, model))) or "no batch"
        lines.append(f"  {state} holds {batches}")
    lines += [f"lost: {text}" for text in case.told.lost]
    lines += [f"uncertain: {text}" for text in case.inexact]
    lines.append(f"tools: {story.tools}")
    lines.append("events:")
    lines += [short(event) for event in case.events]
    return "\n".join(lines)


def short(event: object) -> str:
    """An event in one line, without what says nothing."""
    text = json.loads(json.dumps(event), object_hook=_strip)
    return json.dumps(text)


def _strip(value: dict[str, object]) -> dict[str, object]:
    dropped = ("_producer", "_schemaURL", "schemaURL")
    return {
        key: item for key, item in value.items() if key not in dropped and item not in ({}, None)
    }


def _entry(kind: str, values: dict[str, object]) -> str:
    said = ", ".join(
        f"{key} {_inputs(value) if key == 'inputs' else value}" for key, value in values.items()
    )
    return f"we {kind} {said}"


def _inputs(value: object) -> str:
    return " and ".join(_seen(seen) for seen in value) or "none"  # type: ignore[attr-defined]


def _run(case: Case, run: Run) -> str:
    job = run.job
    tool = case.story.tools[job.tool]
    read = ", ".join(map(_seen, run.seen)) or "nothing"
    made = ", ".join(map(_made, run.made)) or "nothing"
    how = "" if job.fate == "complete" else f", {job.fate}s"
    stream = f", ticks {job.ticks}" if job.ticks else ""
    return (
        f"run {job.key} of tool {job.tool} ({tool.style}, {tool.skew:+} s), "
        f"{job.moments[2]:.1f} s{how}{stream}: reads {read}; makes {made}"
    )


def _seen(seen: Seen) -> str:
    role = f" as {seen.read.role}" if seen.read.role else ""
    part = f" part {seen.read.part}" if seen.read.part else ""
    version = f"@{seen.version}" if seen.version else " without version"
    return f"{seen.read.thing}{version}{part}{role} (= {', '.join(seen.states) or 'outside'})"


def _made(made: Made) -> str:
    change = f" {made.write.change}" if made.write.change else ""
    version = f"@{made.version}" if made.version else ""
    return f"{made.write.thing}{version}{change} (= {made.state})"
