"""Hooks of the gate: people are told of each hold, once, with the case and its reasons."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from lazaretto.ledger.events import BatchJudged, HoldAnnounced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.airflow
NOTIFIED = """
from pathlib import Path
from airflow.sdk import DAG, BaseNotifier
from lazaretto.operators import IngestBatchOperator, QuarantineGateOperator

class Mail(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        with Path({told!r}).open("a") as file:
            print(self.text, file=file)

def by_function(context):
    with Path({told!r}).open("a") as file:
        print("function", context["hold"].case, context["dag_run"].run_id != "", file=file)

ON_HOLD = [Mail("mail {{{{ hold.case }}}} {{{{ hold.held }}}}/{{{{ hold.rows }}}} {{{{ hold.link }}}}"), by_function]
with DAG("notified", schedule=None):
    {task}
"""  # noqa: E501
GATE = 'QuarantineGateOperator(task_id="task", batch={batch!r}, policy={policy!r}, on_hold=ON_HOLD)'
INGEST = (
    'IngestBatchOperator(task_id="task", dataset="handwriting", policy={policy!r},'
    " on_hold=ON_HOLD, **{delivery!r})"
)

MAPPED = (
    'IngestBatchOperator.partial(task_id="task", dataset="handwriting", policy={policy!r},'
    " on_hold=ON_HOLD, outlets=[]).expand_kwargs([{delivery!r}])"
)


@dataclass
class Recorder:
    """A hook that keeps what it was told, and fails as often as it shall."""

    failures: int = 0
    told: list[Any] = field(default_factory=list)

    def __call__(self, context: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no such host https://bob:hush@chat.example/")
        self.told.append(context["hold"])


def odd(world: Any, name: str = "odd", start: int = 0) -> dict[str, str]:
    from lazaretto.demo.digits import poison

    rng = np.random.default_rng(1)
    return world.deliver(name, poison(world.part(start, start + 120), 0.1, rng))


def screened(world: Any, conf: dict[str, str]) -> str:
    from lazaretto import stages
    from lazaretto.policy import Policy

    policy = Policy.load(world.policy)
    batch = stages.receive(world.workspace, beside=True, policy=policy, **conf).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(world.workspace, batch, policy)
    return batch


def gated(world: Any, batch: str, *hooks: Any, try_number: int = 1) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    from lazaretto.operators import QuarantineGateOperator

    gate = QuarantineGateOperator(
        task_id="gate", batch=batch, policy=world.policy, on_hold=hooks or None
    )
    context = {
        "ti": MagicMock(try_number=try_number, map_index=-1),
        "task": MagicMock(**{"get_flat_relatives.return_value": []}),
    }
    with suppress(DownstreamTasksSkipped):
        gate.execute(context)


@pytest.mark.parametrize("task", [GATE, INGEST, MAPPED], ids=["gate", "ingest", "mapped"])
def test_a_notifier_and_a_callback_are_called_once_and_know_the_case(
    world: Any, run_dag: Callable[..., Any], tmp_path: Path, task: str
) -> None:
    told = tmp_path / "told.txt"
    conf = odd(world)
    batch = screened(world, conf) if task == GATE else None
    text = NOTIFIED.format(
        told=str(told), task=task.format(batch=batch, policy=world.policy, delivery=conf)
    )
    for _ in range(2):  # the second run stands for a retry, a clear and a backfill
        tasks = run_dag("notified", text=text).tasks
        assert tasks == {"task[0]" if task == MAPPED else "task": "success"}
    (judged,) = world.ledger(BatchJudged)
    link = f"/plugin/quarantine/lazaretto/batches/{judged.batch}"
    assert told.read_text().splitlines() == [
        f"mail {judged.case} {judged.held}/120 {link}",
        f"function {judged.case} True",
    ]
    (announced,) = world.ledger(HoldAnnounced)
    assert announced.batch == judged.batch


def test_a_hold_says_what_the_ledger_says(world: Any) -> None:
    recorder = Recorder()
    gated(world, screened(world, odd(world)), recorder)
    (judged,) = world.ledger(BatchJudged)
    (hold,) = recorder.told
    assert (hold.batch, hold.case, hold.dataset) == (judged.batch, judged.case, "handwriting")
    assert (hold.source, hold.verdict) == ("vendor-a", "HOLD_RECORDS")
    assert (hold.rows, hold.held, hold.reasons) == (120, judged.held, judged.reasons)
    assert len(hold.notes) == len(judged.notes)


def test_each_hold_is_told_and_nothing_else(world: Any) -> None:
    from lazaretto.demo.deliveries import break_contract

    recorder = Recorder()
    broken = break_contract(world.part(200, 320), np.random.default_rng(0))
    for conf in (
        odd(world),
        world.deliver("broken", broken),
        world.deliver("g", world.part(0, 60)),
    ):
        gated(world, screened(world, conf), recorder)
    held = [event for event in world.ledger(BatchJudged) if event.held]
    assert [hold.batch for hold in recorder.told] == [event.batch for event in held]
    assert {hold.verdict for hold in recorder.told} >= {"HOLD_RECORDS", "HOLD_BATCH"}


def test_a_policy_in_shadow_tells_nobody(world: Any) -> None:
    from lazaretto.authority.policies import register_policy
    from lazaretto.policy import Policy

    says = Policy.load(world.policy).model_dump(mode="json")
    other = Policy.model_validate(says | {"review": {"expire_days": 5}})
    register_policy(world.workspace, other, reason="faster reviews")
    recorder = Recorder()
    gated(world, screened(world, odd(world)), recorder)
    assert (recorder.told, world.ledger(HoldAnnounced)) == ([], [])


def test_a_hook_that_fails_stops_no_gate_and_is_called_again_when_the_task_is_cleared(
    world: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    failing, other = Recorder(failures=1), Recorder()
    batch = screened(world, odd(world))
    gated(world, batch, failing, other)
    log = "".join(capfd.readouterr())
    assert "on_hold: Recorder failed" in log
    assert "hush" not in log
    assert (len(failing.told), len(other.told), world.ledger(HoldAnnounced)) == (0, 1, [])
    for _ in range(2):
        gated(world, batch, failing, other, try_number=2)
    assert (len(failing.told), len(other.told)) == (1, 2)
    assert len(world.ledger(HoldAnnounced)) == 1


def test_of_two_runs_at_once_the_one_that_judged_tells(world: Any) -> None:
    """The other one finds the judgement there, and that nobody told of it yet."""
    judging, late = Recorder(), Recorder()
    batch = screened(world, odd(world))

    def meanwhile(context: Any) -> None:
        gated(world, batch, late)
        judging(context)

    gated(world, batch, meanwhile)
    assert (len(judging.told), late.told) == (1, [])


def test_what_cannot_be_called_is_refused_when_the_dag_is_read() -> None:
    from lazaretto.operators import QuarantineGateOperator

    with pytest.raises(ValueError, match="cannot be called"):
        QuarantineGateOperator(task_id="g", batch="b", policy="p", on_hold=["mail@example.org"])
