"""The same again: what was decided stands, until a person asks for another judgement."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset.recall import recall
from lazaretto.errors import AdmissionRefusedError, UsageError
from lazaretto.health import check
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import BatchJudged, BatchScreened, JudgementSetAside
from lazaretto.policy import Policy
from lazaretto.quarantine import review
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.values import Action, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.dataset.admission import Admission
    from lazaretto.ledger.chain import Entry
    from lazaretto.stages import Judgement

pytestmark = pytest.mark.alike

FASTER = make_policy(review={"expire_days": 5})
MIXED = {"seed": 5, "flips": 6}


def _register(yard: Yard) -> Policy:
    register_policy(yard.workspace, FASTER, reason="reviews must be faster")
    return FASTER


@cache
def _other_reference() -> Reference:
    return Reference.fit(blobs(900, seed=3), make_policy(), name="blobs", version="other")


def _promote(yard: Yard) -> Policy:
    """Another version of the reference, of other rows."""
    save_reference(yard.workspace, _other_reference(), promote=True)
    return yard.policy


def _reword(yard: Yard) -> Policy:
    """The same policy from a file with a comment."""
    path = yard.folder / "policy.yaml"
    path.write_text("# a comment\n" + yard.policy.model_dump_json())
    return Policy.load(path)


EDITS: dict[str, Callable[[Yard], Policy]] = {
    "a comment": _reword,
    "another policy": _register,
    "another reference": _promote,
}


def _judge(yard: Yard, batch: str, policy: Policy) -> Judgement:
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    return stages.gate(yard.workspace, batch, policy)


def _entries(yard: Yard) -> list[Entry]:
    with yard.workspace.catalog.read() as connection:
        return list(ledger.entries(connection))


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("then", ["nothing", "admitted", "decided", "recalled"])
def test_an_earlier_delivery_done_again_is_what_was_decided_then(
    yard: Yard, edit: str, then: str
) -> None:
    rows = blobs(90, **MIXED)  # type: ignore[arg-type]
    first, admission = yard.judge("mixed", rows), None
    if then in ("admitted", "recalled"):
        admission = stages.admit(yard.workspace, first.batch)
    if then == "recalled":
        recall(yard.workspace, "blobs", batch=first.batch, reason="compromised")
    if then == "decided":
        review.decide(yard.workspace, str(first.case), Action.REJECT, all=True, reason="no")
    policy = EDITS[edit](yard)
    before = len(_entries(yard))

    yard = replace(yard, policy=policy)
    again = yard.judge("mixed", rows)
    assert replace(again, decided=None) == first
    if edit == "a comment":
        assert again.decided is None
    else:
        assert again.decided is not None
        assert f"lazaretto batch rejudge {first.batch}" in again.decided
        assert ("blobs/other is used since" in again.decided) == (edit == "another reference")
    if admission is not None:
        done = stages.admit(yard.workspace, first.batch, policy=policy)
        assert done.seqs == admission.seqs
        assert done.rows == (0 if then == "recalled" else admission.rows)
    assert len(_entries(yard)) == before
    assert check(yard.workspace, deep=True).sound


@pytest.mark.parametrize("edit", ["another policy", "another reference"])
def test_only_a_person_has_it_judged_again(yard: Yard, edit: str) -> None:
    first = yard.judge("mixed", blobs(90, **MIXED))  # type: ignore[arg-type]
    policy = EDITS[edit](yard)
    second = stages.rejudge(yard.workspace, first.batch, policy, reason="by what is used now")
    assert second.case not in (first.case, None)
    assert second.decided is None
    assert review.show_case(yard.workspace, str(first.case)).state == "SUPERSEDED"
    assert [case.id for case in review.list_cases(yard.workspace)] == [second.case]
    with pytest.raises(UsageError, match="superseded"):
        review.decide(yard.workspace, str(first.case), Action.REJECT, all=True, reason="x")
    aside = [e for e in _entries(yard) if isinstance(e.event, JudgementSetAside)]
    assert [(e.event.judged, e.event.reason, e.actor) for e in aside] == [  # type: ignore[attr-defined]
        (first.seq, "by what is used now", yard.workspace.actor)
    ]
    stages.admit(yard.workspace, first.batch, policy=policy)
    assert check(yard.workspace, deep=True).sound


def test_what_was_acted_on_is_not_judged_again(yard: Yard) -> None:
    admitted = yard.admit("mixed", blobs(90, **MIXED)).batch  # type: ignore[arg-type]
    decided = yard.judge("more", blobs(90, seed=6, flips=6, prefix="n"))
    review.decide(yard.workspace, str(decided.case), Action.REJECT, all=True, reason="no")
    for batch in (admitted, decided.batch):
        with pytest.raises(UsageError, match="can be recalled, not judged again"):
            stages.rejudge(yard.workspace, batch, yard.policy, reason="again")


def test_asking_for_another_judgement_needs_a_judgement_a_reason_and_the_policy_in_force(
    yard: Yard,
) -> None:
    first = yard.judge("mixed", blobs(90, **MIXED))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="say why"):
        stages.rejudge(yard.workspace, first.batch, yard.policy, reason=" ")
    with pytest.raises(UsageError, match="not in force"):
        stages.rejudge(yard.workspace, first.batch, FASTER, reason="by mine")
    other = yard.receive("other", blobs(30, seed=9, prefix="o")).id
    with pytest.raises(UsageError, match="no judgement"):
        stages.rejudge(yard.workspace, other, yard.policy, reason="again")
    assert not any(isinstance(entry.event, JudgementSetAside) for entry in _entries(yard))


@pytest.mark.parametrize("how", ["the stages", "the same call"])
def test_killed_behind_the_end_of_a_judgement_it_goes_on(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    first = yard.judge("mixed", blobs(90, **MIXED))  # type: ignore[arg-type]
    policy = _promote(yard)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(import_module("lazaretto.stages.rejudge"), "validate", cut)
        with pytest.raises(KeyboardInterrupt):
            stages.rejudge(yard.workspace, first.batch, policy, reason="why not")
    assert check(yard.workspace, deep=True).sound
    with pytest.raises(UsageError, match="not judged"):
        stages.admit(yard.workspace, first.batch)
    if how == "the stages":
        again = _judge(yard, first.batch, policy)
    else:
        again = stages.rejudge(yard.workspace, first.batch, policy, reason="why not")
    assert again.case not in (first.case, None)
    assert sum(isinstance(entry.event, JudgementSetAside) for entry in _entries(yard)) == 1
    assert _admitted(yard, again) == again.cleared


def test_a_judgement_without_effect_is_made_anew_by_the_next_policy(yard: Yard) -> None:
    """Nothing is held and nothing was admitted by it, and by its policy nothing ever will be."""
    first = yard.judge("clean", blobs(60, seed=5))
    assert first.verdict is Verdict.PASS
    policy = _register(yard)
    with pytest.raises(AdmissionRefusedError, match="lazaretto batch rejudge"):
        stages.admit(yard.workspace, first.batch)
    second = _judge(yard, first.batch, policy)
    assert (second.verdict, second.decided) == (Verdict.PASS, None)
    assert _admitted(yard, second) == 60


def test_a_batch_that_is_held_whole_has_nothing_to_admit_under_any_policy(yard: Yard) -> None:
    yard = replace(yard, policy=make_policy(screen=_strict(yard.policy)))
    first = yard.judge("few", blobs(90, **MIXED))  # type: ignore[arg-type]
    assert first.cleared == 0
    _register(yard)
    assert stages.admit(yard.workspace, first.batch).rows == 0


def test_one_delivery_serves_two_datasets_each_with_its_own_verdict(yard: Yard) -> None:
    other = Policy.model_validate(
        {**yard.policy.model_dump(mode="json"), "dataset": "strict", "screen": _strict(yard.policy)}
    )
    rows = blobs(90, **MIXED)  # type: ignore[arg-type]
    first = yard.judge("mixed", rows)
    second = _judge(yard, first.batch, other)
    assert (first.dataset, second.dataset) == ("blobs", "strict")
    assert second.verdict is Verdict.HOLD_BATCH
    assert _admitted(yard, first) == first.cleared > 0
    assert stages.admit(yard.workspace, first.batch, "strict").rows == 0
    for policy, judged in ((yard.policy, first), (other, second)):
        assert _judge(yard, first.batch, policy) == judged
    assert check(yard.workspace, deep=True).sound


def test_what_a_stage_does_not_read_does_not_make_it_work_again(yard: Yard) -> None:
    first = yard.judge("mixed", blobs(90, **MIXED))  # type: ignore[arg-type]
    before = len(_entries(yard))
    stages.rejudge(yard.workspace, first.batch, _register(yard), reason="the new policy")
    kinds = [entry.kind for entry in _entries(yard)[before:]]
    assert kinds == ["policy_registered", "judgement_set_aside", "batch_judged"]


def test_what_was_tried_in_shadow_is_not_what_production_judges_by(yard: Yard) -> None:
    """Another policy may say the same of screening: its result is still not the one in force's."""
    yard.admit("first", blobs(60, seed=6, prefix="f"))
    batch = yard.receive("mixed", blobs(90, **MIXED)).id  # type: ignore[arg-type]
    shadow = _judge(yard, batch, FASTER)
    assert shadow.shadow is not None
    judged = _judge(yard, batch, yard.policy)
    assert judged.shadow is None
    with yard.workspace.catalog.read() as connection:
        event = ledger.entry(connection, judged.seq).event
        assert isinstance(event, BatchJudged)
        assert event.screened is not None
        screened = ledger.entry(connection, event.screened).event
    assert isinstance(screened, BatchScreened)
    assert screened.policy.meaning == event.policy.meaning


def _admitted(yard: Yard, judged: Judgement) -> int:
    admission: Admission = stages.admit(yard.workspace, judged.batch, judged.dataset)
    return admission.rows


def _strict(policy: Policy) -> dict[str, object]:
    """Screening that holds a batch for a few records."""
    screen = policy.screen.model_dump(mode="json")
    screen["reference"] = policy.reference_name
    screen["batch"]["hold_when_held_fraction"] = 0.01
    return screen


CONTRACT = """
import pandera.polars as pa


class Delivered(pa.DataFrameModel):
    label: int = pa.Field(isin={labels})
"""


def test_a_contract_that_is_changed_while_a_batch_is_checked_is_another_contract(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked by one contract never counts as checked by the next."""
    from lazaretto import contract

    file = yard.folder / "delivered.py"
    file.write_text(CONTRACT.format(labels=[0, 1, 2]))
    policy = make_policy(contract=f"{file}:Delivered")  # type: ignore[arg-type]
    batch = yard.receive("clean", blobs(60, seed=5)).id
    real = contract.contract_of

    def swapped(given: Policy) -> object:
        loaded = real(given)
        file.write_text(CONTRACT.format(labels=[9]))
        return loaded

    with monkeypatch.context() as patch:
        patch.setattr(contract, "contract_of", swapped)
        lax = stages.validate(yard.workspace, batch, policy)
    assert lax.said.failing_rows == 0
    with pytest.raises(UsageError, match="run `validate` first"):
        stages.screen(yard.workspace, batch, policy)
    assert stages.validate(yard.workspace, batch, policy).said.failing_rows == 60
