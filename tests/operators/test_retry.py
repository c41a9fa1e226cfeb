"""What Airflow tries again, as no delivery and no caller is at fault; and lineage meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from lazaretto.ledger.events import BatchReceived, DeliveryRefused
from lazaretto.lineage.cursors import lag
from lazaretto.lineage.openlineage import emit, lease

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow


def waiting(world: Any) -> int:
    with world.workspace.catalog.read() as connection:
        return lag(connection, emit.CURSOR)


def test_a_late_delivery_is_tried_again_until_it_is_there(world: Any) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from lazaretto.operators import ReceiveBatchOperator

    conf = world.deliver("monday", world.part(0, 60))
    file, manifest = Path(conf["uri"]), Path(conf["manifest"])
    receive = ReceiveBatchOperator(task_id="receive", **conf, policy=world.policy)
    for late in (manifest, file):
        kept = late.read_bytes()
        late.unlink()
        with pytest.raises(AirflowException, match=r"is not there \(yet\)") as caught:
            receive.execute({"ti": MagicMock()})
        assert not isinstance(caught.value, AirflowFailException)
        late.write_bytes(kept)
    assert world.ledger(DeliveryRefused) == []
    assert receive.execute({"ti": MagicMock()})["rows"] == 60


def test_a_store_that_fails_is_tried_again(world: Any) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from lazaretto.operators import ReceiveBatchOperator, ValidateBatchOperator

    conf = world.deliver("monday", world.part(0, 60))
    receive = ReceiveBatchOperator(task_id="receive", **conf, policy=world.policy)
    batch = receive.execute({"ti": MagicMock()})
    file = next(Path(world.workspace.store.root).glob("batches/**/data-*.arrow"))
    kept = file.read_bytes()
    file.unlink()
    file.symlink_to("/proc/self/mem")  # an input/output error, as of a broken disk
    validate = ValidateBatchOperator(task_id="validate", batch=batch, policy=world.policy)
    with pytest.raises(AirflowException, match="cannot read 'batches/") as caught:
        validate.execute({"ti": MagicMock()})
    assert not isinstance(caught.value, AirflowFailException)
    file.unlink()
    file.write_bytes(kept)
    assert validate.execute({"ti": MagicMock()})["batch"] == batch["id"]


# --- lineage


FLUSH = """
from airflow.sdk import DAG
from lazaretto.operators import FlushLineageOperator
with DAG("flush", schedule=None):
    FlushLineageOperator(task_id="flush", deferrable={deferrable})
"""


@pytest.mark.parametrize("deferrable", [True, False])
def test_what_waits_is_sent_in_the_triggerer_or_in_the_task(
    world: Any, run_dag: Callable[..., Any], deferrable: bool
) -> None:
    left = waiting(world)
    assert left > 0
    run = run_dag("flush", text=FLUSH.format(deferrable=deferrable))
    assert run.tasks == {"flush": "success"}
    assert run.xcoms["flush"] == {"entries": left, "remaining": 0}
    assert waiting(world) == 0


def test_a_flush_that_another_process_keeps_waiting_fails_and_says_who(world: Any) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

    from lazaretto.operators import FlushLineageOperator
    from lazaretto.operators.triggers import LineageFlushedTrigger

    assert isinstance(lease.acquire(world.workspace.catalog, emit.CURSOR), int)
    with pytest.raises(TaskDeferred) as deferred:
        FlushLineageOperator(task_id="flush").execute({"ti": MagicMock()})
    path, arguments = deferred.value.trigger.serialize()
    assert path == f"{LineageFlushedTrigger.__module__}.LineageFlushedTrigger"

    async def fire() -> Any:
        return (await anext(LineageFlushedTrigger(**arguments).run())).payload

    event = json.loads(json.dumps(asyncio.run(fire())))
    said = rf"process {os.getpid()} is sending them, until 20\d\d-"
    resumed = FlushLineageOperator(task_id="flush")
    with pytest.raises(AirflowException, match=said) as caught:
        getattr(resumed, deferred.value.method_name)({"ti": MagicMock()}, event)
    assert not isinstance(caught.value, AirflowFailException)


_TASK = """
import json, sys
from unittest.mock import MagicMock
from lazaretto import lineage
lineage.IN_STAGE = lineage.Bounds(entries=20, seconds=0.2, stalled=0.2, chunk=10)
from lazaretto.operators import ReceiveBatchOperator
receive = ReceiveBatchOperator(task_id="receive", **json.loads(sys.argv[1]))
print(receive.execute({"ti": MagicMock()})["rows"])
"""


def test_a_backend_that_hangs_keeps_no_task_waiting(world: Any) -> None:
    """The task does its work, its process ends, and its events wait for whoever comes next."""
    conf = world.deliver("monday", world.part(0, 60)) | {"policy": world.policy}
    before = waiting(world)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        transport = json.dumps({"type": "http", "url": url, "timeout": 600})
        done = subprocess.run(
            [sys.executable, "-c", _TASK, json.dumps(conf)],
            env=os.environ | {"AIRFLOW__OPENLINEAGE__TRANSPORT": transport},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "60"
    assert len(world.ledger(BatchReceived)) == 1
    assert waiting(world) == before + 1
