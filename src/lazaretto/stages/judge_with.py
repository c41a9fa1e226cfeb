"""Judges a batch by its policy and by what a check outside of Lazaretto found in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.authority.judgements import settled_judgement
from lazaretto.contract import contract_of, evaluate, merged
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchValidated
from lazaretto.received import find_batch, on_record, open_stored
from lazaretto.stages.embed import embed
from lazaretto.stages.gate import gate
from lazaretto.stages.known import known_of
from lazaretto.stages.results import Reading, stage_key
from lazaretto.stages.screen import screen
from lazaretto.stages.validate import record_report

if TYPE_CHECKING:
    from lazaretto.contract import ContractReport
    from lazaretto.policy import Policy
    from lazaretto.stages.judgement import Judgement
    from lazaretto.storage.workspace import Workspace


def judge_with(
    workspace: Workspace, batch: str, policy: Policy, found: ContractReport, *, called: str
) -> Judgement:
    """Judges a batch, with more findings than those of the policy's contract.

    What the policy's own contract finds is found as well. Where nothing is wrong with the batch as
    a whole it is screened too, and only the failing records are held. Nothing is admitted.

    Args:
        workspace: catalog and store.
        batch: id of a received batch.
        policy: of the dataset, the one in force.
        found: what the other check found in the batch's records.
        called: what that check is called on record.

    Returns:
        The judgement; of the same findings always the same.

    Raises:
        NotFoundError: no such batch.
        UsageError: it was judged before, without these findings; or the policy is not in force, so
            that nothing was held.
        ChangedFileError: a stored file is gone or was changed.

    Examples:
        >>> import pyarrow.parquet as pq
        >>> from lazaretto import stages
        >>> from lazaretto.contract import evaluate
        >>> from lazaretto.policy import Columns
        >>> batch = stages.receive(workspace, "wednesday.parquet", "vendor", policy=policy).id
        >>> found = evaluate(pq.read_table("wednesday.parquet"), None, Columns())
        >>> found.broken.append("the vendor's own check failed")
        >>> stages.judge_with(workspace, batch, policy, found, called="vendor").verdict.name
        'HOLD_BATCH'
    """
    contract = contract_of(policy)
    digest = None if contract is None else contract.digest
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        reading = Reading.of(connection, batch, policy, digest)
        inputs = stage_key(
            reads=reading.reads("validate"),
            batch=received.digest,
            called=called,
            broken=found.broken,
            rules=[[rule.rule, rule.failed, rule.text, rule.warning] for rule in found.rules],
        )
        before = settled_judgement(connection, batch, reading.ref)
        if before is not None and not before.event.verdict.holds_batch:
            seq = before.event.validated
            by = None if seq is None else entry(connection, seq).event
            if not isinstance(by, BatchValidated) or by.inputs != inputs:
                raise UsageError(
                    f"{batch} was judged {before.event.verdict.value} before {called} failed it, "
                    "and a judgement stands until a person sets it aside: `lazaretto batch show "
                    f"{batch}` says what became of it, and if its records entered a dataset, "
                    "`lazaretto incident open` takes them out"
                )
    if before is None:
        with on_record(workspace, batch, "validate"):
            known, _ = known_of(workspace, received, policy, contract)
            own = evaluate(
                open_stored(workspace, received),
                contract,
                policy.columns,
                most_bytes=policy.limits.memory_bytes,
                known=known,
            )
        report = merged(own, found)
        named = called if contract is None else f"{contract.name} and {called}"
        validated = record_report(workspace, reading, report, contract=named, inputs=inputs)
        if not validated.said.broken:
            embed(workspace, batch, policy)
            screen(workspace, batch, policy)
    judgement = gate(workspace, batch, policy)
    if judgement.shadow is not None:
        raise UsageError(
            f"{called} failed {batch}, and nothing is held: {judgement.shadow}. Give the policy "
            "that is in force, or register this one: `lazaretto policy register`"
        )
    return judgement
