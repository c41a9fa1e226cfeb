"""What a ledger entry says in OpenLineage's terms, before it is made an event."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openlineage.client.facet_v2 import test_run

from lazaretto.lineage.openlineage.datasets import MAX_IDS, MAX_TEXT
from lazaretto.lineage.openlineage.facets import LazarettoDecisionRunFacet
from lazaretto.text import excerpt
from lazaretto.values import Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import RunFacet

    from lazaretto.ledger.chain import Entry
    from lazaretto.values import DataFile, DetectorSummary, PolicyRef, TestSummary, Verdict


@dataclass(frozen=True, slots=True)
class Context:
    """Where and as what an entry is projected.

    Attributes:
        store_root: root of the store, for the names of its datasets.
        run: run id of the entry.
        at: time of the entry.
        actor: who acted.
        files: data files of a version of a dataset, by its name; None where they are not known.
    """

    store_root: str
    run: str
    at: datetime
    actor: Actor
    files: Callable[[str, int], Sequence[DataFile] | None]


@dataclass(frozen=True, slots=True)
class Facts:
    """What one entry says.

    Attributes:
        job: job name.
        job_type: what the job does, in one word.
        inputs: what was read.
        outputs: what was written.
        run_facets: facets of the run, without those every run has.
        failure: why it failed, where it did.
        began: when the work began, where the entry says so.
    """

    job: str
    job_type: str
    inputs: list[InputDataset] = field(default_factory=list)
    outputs: list[OutputDataset] = field(default_factory=list)
    run_facets: dict[str, RunFacet] = field(default_factory=dict)
    failure: str | None = None
    began: datetime | None = None


def nothing_known(dataset: str, version: int) -> None:
    """For who has no catalog to ask: the data files of no version are known."""
    del dataset, version


def nothing_earlier(entry: Entry) -> None:
    """For who has no ledger to ask: no entry adds to an earlier run."""
    del entry


def decision(
    context: Context,
    what: str,
    artifacts: Sequence[str],
    *,
    actor: Actor | None = None,
    policy: PolicyRef | None = None,
    reason: str | None = None,
    records: dict[str, int] | None = None,
    verdict: Verdict | None = None,
    case: str | None = None,
    decision_id: str | None = None,
    supersedes: str | None = None,
) -> dict[str, RunFacet]:
    """The `lazaretto_decision` facet; without an actor the policy acted."""
    if actor is None:
        actor = Actor(ActorType.POLICY, f"policy:{policy.dataset if policy else 'default'}")
    return {
        "lazaretto_decision": LazarettoDecisionRunFacet(
            decisionId=decision_id or context.run,
            decision=what,
            artifacts=[excerpt(a, 512) for a in artifacts[:MAX_IDS]],
            actor={"type": actor.type.value, "id": actor.id},
            policy=None
            if policy is None
            else {"id": policy.dataset, "digest": {"sha256": policy.sha256}},
            reason=None if reason is None else excerpt(reason, MAX_TEXT),
            records=records,
            verdict=None if verdict is None else verdict.value,
            case=case,
            supersedes=supersedes,
        )
    }


def tests(
    detectors: Sequence[DetectorSummary], batch_tests: Sequence[TestSummary]
) -> dict[str, RunFacet]:
    """Detectors and batch tests as the standard `test` facet."""
    found = [
        test_run.TestExecution(
            name=f"detector:{detector.name}",
            status="skip" if detector.mode == "off" else "fail" if detector.would_hold else "pass",
            severity="error" if detector.mode == "enforce" else "warn",
            type="detector",
            description="records that this detector alone would have held",
            expected="0",
            actual=str(detector.would_hold),
            params={"mode": detector.mode},
        )
        for detector in detectors
    ] + [
        test_run.TestExecution(
            name=test.name,
            status="skip" if test.p_value is None else "fail" if test.fired else "pass",
            severity="error",
            type="statistical",
            description=excerpt(test.detail, MAX_TEXT),
            expected=f"p > {test.alpha:g}",
            actual=None if test.p_value is None else f"p = {test.p_value:g}",
        )
        for test in batch_tests
    ]
    return {"test": test_run.TestRunFacet(tests=found)} if found else {}
