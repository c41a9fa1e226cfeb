"""A stored file that was changed stops the task for good, goes on record, and people are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from lazaretto.ledger.events import StoredFileChanged

pytestmark = pytest.mark.airflow


def test_a_changed_file_calls_the_notifiers_and_fails_without_retries(world: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import ValidateBatchOperator
    from lazaretto.policy import Policy
    from lazaretto.received import load_batch
    from lazaretto.stages.receive import receive

    conf = world.deliver("monday", world.part(0, 60))
    batch = receive(
        world.workspace,
        conf["uri"],
        conf["source"],
        manifest=conf["manifest"],
        policy=Policy.load(world.policy),
    )
    stored = load_batch(world.workspace, batch.id).stored
    path = Path(world.workspace.store.uri(stored.path))
    kept = path.read_bytes()
    path.write_bytes(kept[:-40] + bytes(40))
    told: list[dict[str, Any]] = []
    operator = ValidateBatchOperator(
        task_id="validate", batch=batch.id, policy=world.policy, notifiers=[told.append]
    )
    with pytest.raises(AirflowFailException, match=r"not the file that is on record"):
        operator.execute({"ti": MagicMock()})
    (context,) = told
    assert stored.path in context["alarm"]
    (event,) = world.ledger(StoredFileChanged)
    assert (event.batch, event.stage, event.path) == (batch.id, "validate", stored.path)
    path.write_bytes(kept)
    assert operator.execute({"ti": MagicMock()})["stage"] == "validate"
