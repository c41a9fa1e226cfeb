"""An action for checkpoints of Great Expectations: what a checkpoint fails goes to the quarantine.

Only who imports this file loads Great Expectations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from great_expectations.checkpoint.actions import ValidationAction

from lazaretto.contract import ContractReport, evaluate
from lazaretto.contract.gx_results import Told, told_by
from lazaretto.errors import UsageError
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from great_expectations.checkpoint.actions import ActionContext
    from great_expectations.checkpoint.checkpoint import CheckpointResult

    from lazaretto.policy import Policy
    from lazaretto.stages.judgement import Judgement
    from lazaretto.storage.workspace import Workspace


class QuarantineAction(ValidationAction):
    """Holds the delivery that a checkpoint failed, with a reason for every failing record.

    The delivery is received as `lazaretto.stages.receive` does it, so that its source and signature
    are checked. Then the checkpoint's expectations are judged again on the received records, by the
    rules of ``contract: {gx: ...}``: a checkpoint's result names only some of the failing rows, and
    rows of a table that may have been sorted or filtered. An expectation that failed in the
    checkpoint and does not fail there, or cannot be run there, holds the whole batch and says so.

    Nothing happens where the checkpoint is met, or where only expectations of severity warning or
    info failed. Catalog and store are found as by every command: the environment, or Airflow's
    configuration.

    Attributes:
        name: of the action.
        policy: the policy file.
        source: name of the registered source.
        delivery: path or URI of the delivered file. Default: the file that the checkpoint read;
            for a table in memory it must be given.
        batch: id of a received batch, in place of a delivery.
        manifest: path or URI of the signed manifest; default: the one that lies beside the
            delivery, if there is one.
        hold: ``batch``: all of the delivery is held. ``records``: the batch is screened too, and
            only the records are held that fail, unless more is wrong.

    Examples:
        >>> from lazaretto.stages.gx_action import QuarantineAction
        >>> action = QuarantineAction(policy="policy.yaml", source="vendor")
        >>> action.type, action.hold
        ('lazaretto_quarantine', 'batch')
    """

    type: Literal["lazaretto_quarantine"] = "lazaretto_quarantine"
    name: str = "quarantine"
    policy: str
    source: str | None = None
    delivery: str | None = None
    batch: str | None = None
    manifest: str | None = None
    hold: Literal["batch", "records"] = "batch"

    def run(
        self,
        checkpoint_result: CheckpointResult,
        action_context: ActionContext | None = None,  # noqa: ARG002  others' signature
    ) -> dict[str, Any]:
        """Hands over what failed; called by the checkpoint.

        Returns:
            A mapping of ``batches`` to a list: of each delivery its ``batch``, ``verdict``, number
            of ``held`` records, ``case`` and ``notes``. The list is empty where nothing is held.

        Raises:
            LazarettoError: it cannot be handed over, so that nothing is held by it: the checkpoint
                run fails.
        """
        told = told_by(checkpoint_result)
        if not any(one.fails for one in told):
            return {"batches": []}
        from lazaretto.policy import Policy
        from lazaretto.storage.workspace import open_workspace

        policy = Policy.load(self.policy)
        workspace = open_workspace(create=False, home=False)
        by_delivery: dict[str, list[Told]] = {}
        for one in told:
            by_delivery.setdefault(self._delivery_of(one), []).append(one)
        judgements = [
            _hand_over(
                workspace,
                self._receive(workspace, delivery, policy),
                policy,
                parts,
                whole=self.hold == "batch",
                called=f"checkpoint {excerpt(checkpoint_result.name, 80)!r}",
            )
            for delivery, parts in by_delivery.items()
            if any(part.fails for part in parts)
        ]
        return {
            "batches": [
                {
                    "batch": one.batch,
                    "verdict": one.verdict.value,
                    "held": one.held,
                    "case": one.case,
                    "notes": one.notes,
                }
                for one in judgements
            ]
        }

    def _delivery_of(self, told: Told) -> str:
        if self.batch is not None:
            return ""
        found = self.delivery or told.path
        if found is None:
            raise UsageError(
                f"the checkpoint looked at {told.asset!r}, which is no file: give the action the "
                "`delivery` that it came from, or the `batch` as which it was received"
            )
        return found

    def _receive(self, workspace: Workspace, delivery: str, policy: Policy) -> str:
        from lazaretto.stages.receive import receive

        if self.batch is not None:
            return self.batch
        if self.source is None:
            raise UsageError("give the action the `source` that delivered, or the `batch`")
        beside = self.manifest is None
        return receive(
            workspace, delivery, self.source, manifest=self.manifest, beside=beside, policy=policy
        ).id


def _hand_over(
    workspace: Workspace,
    batch: str,
    policy: Policy,
    told: list[Told],
    *,
    whole: bool,
    called: str,
) -> Judgement:
    from lazaretto.received import find_batch, open_stored
    from lazaretto.stages.judge_with import judge_with

    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
    reports = []
    for one in told:
        contract = one.contract()
        report = evaluate(
            open_stored(workspace, received),
            contract,
            policy.columns,
            most_bytes=policy.limits.memory_bytes,
        )
        reports.append(one.compared(report, contract))
    found = _together(reports)
    failed = sum(len(one.failed) + len(one.elsewhere) for one in told)
    if whole:
        asked = sum(one.expectations for one in told)
        found.broken.insert(0, f"{called} failed: {failed} of {asked} expectations are not met")
    return judge_with(workspace, batch, policy, found, called=called)


def _together(reports: list[ContractReport]) -> ContractReport:
    from lazaretto.contract import merged

    found = reports[0]
    for report in reports[1:]:
        found = merged(found, report)
    return found
