"""What a task's log says of each stage, and that lineage, XCom and the ledger say the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import structlog.testing

from lazaretto.ledger.events import BatchJudged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.airflow
STAGES = ["receive", "validate", "embed", "screen", "gate", "admit"]
EVIL = "x'; verdict PASS\x1b[31m\u202e\nadmit: all"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Lines of operators' logs, of one level, since the test began."""
    from airflow.sdk import BaseOperator

    # Loggers of Airflow drop what is below its level, which is WARNING for tests.
    everything = structlog.make_filtering_bound_logger(0)
    logger = structlog.wrap_logger(None, wrapper_class=everything)
    monkeypatch.setattr(BaseOperator, "log", property(lambda _: logger))
    with structlog.testing.capture_logs() as lines:
        yield lambda level: [
            line for line in lines if line["log_level"] == level and "batch" in line
        ]


def six(world: Any, conf: dict[str, str], **gate: Any) -> dict[str, Any]:
    """Runs the six operators as Airflow would, and returns what they return."""
    from lazaretto.operators import (
        EmbedBatchOperator,
        QuarantineGateOperator,
        ReceiveBatchOperator,
        ScreenBatchOperator,
        ValidateBatchOperator,
    )

    task_instance = MagicMock(try_number=1, map_index=-1)
    context = {"ti": task_instance, "task": MagicMock(**{"get_flat_relatives.return_value": []})}
    receive = ReceiveBatchOperator(task_id="receive", policy=world.policy, **conf)
    done = {"receive": receive.execute(context)}
    batch = done["receive"]["id"]
    for name, operator, options in (
        ("validate", ValidateBatchOperator, {}),
        ("embed", EmbedBatchOperator, {}),
        ("screen", ScreenBatchOperator, {}),
        ("gate", QuarantineGateOperator, gate),
    ):
        task = operator(task_id=name, batch=batch, policy=world.policy, **options)
        from airflow.sdk.exceptions import DownstreamTasksSkipped

        try:
            done[name] = task.execute(context)
        except DownstreamTasksSkipped:
            done[name] = task_instance.xcom_push.call_args_list[0].kwargs["value"]
    return done


def poisoned(world: Any) -> dict[str, str]:
    from lazaretto.demo.digits import poison

    return world.deliver("odd", poison(world.part(0, 120), 0.1, np.random.default_rng(1)))


def test_each_stage_has_one_line_that_agrees_with_xcom_lineage_and_ledger(
    world: Any, said: Callable[[str], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.operators import AdmitBatchOperator

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://bob:hush@air.example:8080/flow")
    done = six(world, poisoned(world))
    batch = done["receive"]["id"]
    admit = AdmitBatchOperator(task_id="admit", batch=batch, dataset="handwriting")
    done["admit"] = admit.execute({"ti": MagicMock(), "outlet_events": MagicMock()})
    lines = said("info")
    assert [line["stage"] for line in lines] == STAGES
    page = f"https://air.example:8080/flow/plugin/quarantine/lazaretto/batches/{batch}"
    for line in lines:
        assert line["event"].startswith(f"{line['stage']}: ")
        for part in (batch, page, f"catalog {line['catalog']}", f"store {line['store']}"):
            assert part in line["event"]
        assert (line["batch"], line["page"]) == (batch, page)
    gate, returned = lines[4], done["gate"]
    (judged,) = world.ledger(BatchJudged)
    for key in ("verdict", "rows", "held", "cleared", "case"):
        assert gate[key] == returned[key] == getattr(judged, key)
    assert f"{judged.held} of 120 records held, {judged.cleared} cleared" in gate["event"]
    assert returned["reasons"] == judged.reasons
    for reason, count in gate["reasons"].items():
        assert judged.reasons[reason] == count
        assert f"'{reason}' {count}" in gate["event"]
    assert judged.case in gate["event"]
    (warning,) = said("warning")
    assert f"{judged.held} of 120 records are held (HOLD_RECORDS)" in warning["event"]
    assert all(f"'{reason}'" in warning["event"] for reason in gate["reasons"])
    assert str(judged.notes[0])[:40] in warning["event"]
    assert page in warning["event"]
    assert lines[5]["rows"] == done["admit"]["rows"] == judged.cleared


def test_lineage_says_what_the_log_says(
    world: Any, run_dag: Callable[..., Any], airflow_events: Callable[[], list[dict[str, Any]]]
) -> None:
    run = run_dag("lazaretto_ingest", poisoned(world))
    (judged,) = world.ledger(BatchJudged)
    facets = [
        event["run"]["facets"]["lazaretto_decision"]
        for event in airflow_events()
        if event["job"]["name"].endswith("ingest.gate") and event["eventType"] == "COMPLETE"
    ]
    (facet,) = facets
    returned = run.xcoms["gate"]
    assert facet["verdict"] == returned["verdict"] == judged.verdict
    assert facet["records"]["quarantined"] == returned["held"] == judged.held
    assert facet["records"]["released"] == returned["cleared"]
    for reason, count in returned["reasons"].items():
        assert f"{reason}: {count}" in facet["reason"]


def test_a_batch_that_breaks_the_contract_is_told_with_its_rules(
    world: Any, said: Callable[[str], list[dict[str, Any]]]
) -> None:
    from lazaretto.demo.deliveries import break_contract

    broken = break_contract(world.part(0, 120), np.random.default_rng(0))
    done = six(world, world.deliver("bad-day", broken))
    assert done["gate"]["verdict"] == "HOLD_BATCH"
    lines = {line["stage"]: line["event"] for line in said("info")}
    assert list(lines) == STAGES[:-1]
    assert "120 records break the contract" in lines["validate"] or "broken" in lines["validate"]
    assert "HOLD_BATCH; 120 of 120 records held, 0 cleared" in lines["gate"]
    (warning,) = said("warning")
    assert "120 of 120 records are held (HOLD_BATCH)" in warning["event"]


def test_one_task_for_all_has_a_line_for_each_stage(
    world: Any, said: Callable[[str], list[dict[str, Any]]]
) -> None:
    from lazaretto.operators import IngestBatchOperator

    ingest = IngestBatchOperator(
        task_id="i", dataset="handwriting", policy=world.policy, **poisoned(world)
    )
    returned = ingest.execute({"ti": MagicMock(try_number=1), "outlet_events": MagicMock()})
    lines = said("info")
    assert [line["stage"] for line in lines] == [*STAGES, "ingest"]
    assert lines[-1]["held"] == lines[4]["held"] == returned["judgement"]["held"] > 0
    assert lines[-1]["admitted"] == returned["admission"]["rows"]
    assert len(said("warning")) == 1


@pytest.mark.parametrize("count", [1, 40])
def test_text_of_a_delivery_forges_no_line_and_no_part_of_one(world: Any, count: int) -> None:
    """Reasons and notes may hold names of columns, which a source chooses."""
    from lazaretto.operators.telling import hold_line, stage_line
    from lazaretto.stages.judgement import Judgement
    from lazaretto.values import Verdict

    batch = "vendor-a/" + "0" * 32
    judged = Judgement(
        batch=batch,
        dataset="handwriting",
        verdict=Verdict.HOLD_BATCH,
        rows=9,
        held=9,
        cleared=0,
        case="case-1",
        reasons={f"contract:{EVIL * 99}{number}": 9 for number in range(count)},
        notes=[EVIL * 999] * count,
    )
    for line in (stage_line(world.workspace, "gate", judged), hold_line(judged)):
        assert line.text.isprintable()
        assert len(line.text) <= 4_000
        ours = re.sub(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", "", line.text)
        assert "PASS" not in ours
        assert "admit" not in ours
        assert line.text.rstrip().endswith((world.workspace.store.root, f"/batches/{batch}"))
        assert all(reason.isprintable() and len(reason) <= 300 for reason in line.fields["reasons"])
        assert len(line.fields["reasons"]) <= 5
