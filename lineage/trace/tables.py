"""The tables of a report, in words: rows of what an answer says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.lineage.trace.proof import Proof

IN_USE = {
    "affected": "affected",
    "unknown": "not known: it may be affected",
    "measured": "only measured with it",
    "asked": "the version in question",
    "other": "another version",
}
"""What is said of a version in use."""


class Table(NamedTuple):
    """A table of the page, left out when it has no rows; without heads its rows are pairs."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[object]]


def retrain(trace: Trace) -> Table:
    """What to do, in order."""
    return Table(
        "What to do",
        ("step", "model", "affected versions", "retrain", "roll back to"),
        [
            (
                step.order,
                step.model,
                ", ".join(step.affected),
                f"yes, without {len(step.exclude)} batches"
                if step.retrain
                else f"no: {step.newest} is not affected",
                step.last_clean or "no version is clean",
            )
            for step in trace.retrain
        ],
    )


def in_use(trace: Trace) -> Table:
    """Which versions applications find by which name now, and since when."""
    return Table(
        "In use now",
        ("model", "name", "version", "since", "set by", "it is"),
        [
            (
                one.model,
                one.alias,
                one.version,
                shown_time(one.at),
                one.actor,
                IN_USE[one.state],
            )
            for one in trace.in_use
        ],
    )


def models(trace: Trace) -> Table:
    """Model versions that are affected."""
    return Table(
        "Model versions",
        ("model", "registry", "registered", "use", "records in question", "of"),
        [
            (
                model.id,
                model.registry,
                shown_time(model.registered_at),
                "inherited" if model.inherited else ", ".join(model.roles),
                shown_count(model.tainted_rows),
                shown_count(model.rows),
            )
            for model in trace.models
        ],
    )


def unknown(trace: Trace) -> Table:
    """What may be affected, and why that is not known."""
    return Table(
        "May be affected: not known",
        ("model", "registry", "why it is not known"),
        [(one.id, one.registry, "; ".join(one.why)) for one in trace.unknown],
    )


def evaluated(trace: Trace) -> Table:
    """Model versions that were only measured with what is in question."""
    return Table(
        "Only measured with it",
        ("model", "registry", "registered"),
        [(one.id, one.registry, shown_time(one.registered_at)) for one in trace.evaluated],
    )


def evidence(proof: Proof) -> Table:
    """What the report rests on, for whoever checks it later."""
    held = proof.checkpoint
    told: list[tuple[str, object]] = [
        ("ledger head", f"entry {proof.seq}, {proof.hash}"),
        ("ledger verify", f"{proof.outcome}, {proof.entries} entries recomputed"),
        *(("problem", problem) for problem in proof.problems),
        ("newest checkpoint", "none was taken: only they show that a ledger was rewritten")
        if held is None
        else ("newest checkpoint", f"{held.where}, of the first {held.size} entries, {held.root}"),
        ("entries under it", f"{proof.covered} of {proof.entries}"),
        ("asked by", proof.asked_by),
    ]
    return Table("Proof", (), told)


def batches(trace: Trace) -> Table:
    """Batches in question."""
    return Table(
        "Batches",
        ("batch", "collected", "received", "here because", "signature", "rows", "used", "recalled"),
        [
            (
                batch.id,
                f"{shown_time(batch.collected_from)} to {shown_time(batch.collected_to)}",
                shown_time(batch.received_at),
                batch.matched,
                batch.signature or "none",
                shown_count(batch.rows),
                batch.used_rows or 0,
                batch.recalled_rows,
            )
            for batch in trace.batches
        ],
    )


def refused(trace: Trace) -> Table:
    """Deliveries under the source's name that were refused."""
    return Table(
        "Refused deliveries",
        ("refused", "delivered as", "code", "reason", "sha256", "ledger entry"),
        [
            (
                shown_time(one.at),
                one.uri,
                one.code,
                one.reason,
                one.file_digest or "not read",
                one.seq,
            )
            for one in trace.refused
        ],
    )


def snapshots(trace: Trace) -> Table:
    """Dataset versions on the way."""
    return Table(
        "Dataset versions",
        ("version", "dataset", "records in question", "of", "members known"),
        [
            (
                one.id,
                one.name,
                shown_count(one.tainted_rows),
                shown_count(one.rows),
                "yes" if one.members_known else "no",
            )
            for one in trace.snapshots
        ],
    )


def record(trace: Trace) -> Table:
    """What became of the record."""
    record = trace.record
    if record is None:
        return Table("The record", (), [])
    held = {True: "yes", False: "no", None: "not known: see what could not be read"}[record.held]
    told: list[tuple[str, object]] = [
        ("held by quarantine", held),
        ("case", record.case),
        ("decision in force", record.action),
        ("decided by", record.decided_by),
        ("published by", record.published_by),
        ("approved by", ", ".join(record.approved_by)),
        ("publication", record.publication),
        ("found in", ", ".join(record.present_in)),
        ("could not be read", ", ".join(record.unchecked)),
    ]
    return Table("The record", (), [(name, value) for name, value in told if value])


def releases(trace: Trace) -> Table:
    """Publications of held records, each with who let it through."""
    return Table(
        "Who let held records through",
        ("entry", "when", "batch", "records", "into", "decided by", "approved by", "published by"),
        [
            (
                one.seq,
                shown_time(one.at),
                one.batch,
                one.records,
                f"{one.dataset}@{one.version}",
                ", ".join(one.decided_by),
                ", ".join(one.approved_by),
                one.published_by,
            )
            for one in trace.releases
        ],
    )


def decisions(trace: Trace) -> Table:
    """Who decided what, in order."""
    return Table(
        "Decisions",
        ("entry", "when", "batch", "what", "records", "who", "policy", "why"),
        [
            (
                one.seq,
                shown_time(one.at),
                one.batch,
                one.what,
                one.records,
                one.actor,
                f"{one.policy} {(one.policy_sha256 or '')[:12]}" if one.policy else "",
                one.reason,
            )
            for one in trace.decisions
        ],
    )


def recalls(trace: Trace) -> Table:
    """What was taken back since."""
    return Table(
        "Recalls",
        ("entry", "when", "dataset", "records", "models that saw them", "who", "why"),
        [
            (
                one.seq,
                shown_time(one.at),
                f"{one.dataset}@{one.version}",
                sum(one.batches.values()),
                ", ".join(one.models),
                one.actor,
                one.reason,
            )
            for one in trace.recalls
        ],
    )


def shown_time(moment: datetime | None) -> str:
    """A moment in UTC, to the second; a question mark where it is not known."""
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def shown_count(number: int | None) -> str:
    """A number; a question mark where it is not known."""
    return "?" if number is None else str(number)
