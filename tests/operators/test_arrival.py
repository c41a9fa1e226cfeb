"""Late deliveries are waited for, and the manifest beside a delivery is found, by operators too."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from lazaretto.ledger.events import BatchReceived, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
BESIDE = ".manifest.json"


def beside(conf: dict[str, str]) -> tuple[Path, Path]:
    """Moves a delivery's manifest to where it is found; returns file and manifest."""
    file = Path(conf["uri"])
    manifest = Path(conf.pop("manifest")).rename(f"{file}{BESIDE}")
    return file, manifest


def waiting(world: Any, conf: dict[str, str], **options: Any) -> Any:
    from lazaretto.operators import AwaitDeliveryOperator

    return AwaitDeliveryOperator(
        task_id="wait", policy=world.policy, poke_interval=0.01, **conf, **options
    )


@pytest.mark.parametrize("given", [None, ""])
def test_the_manifest_beside_the_file_is_found(world: Any, given: str | None) -> None:
    from lazaretto.operators import IngestBatchOperator, ReceiveBatchOperator

    conf = world.deliver("monday", world.part(0, 60))
    beside(conf)
    receive = ReceiveBatchOperator(task_id="r", policy=world.policy, manifest=given, **conf)
    assert receive.execute({"ti": MagicMock()})["rows"] == 60
    (received,) = world.ledger(BatchReceived)
    assert received.signature.status == "VERIFIED"
    ingest = IngestBatchOperator(
        task_id="i", policy=world.policy, dataset="handwriting", manifest=given, **conf
    )
    context = {"ti": MagicMock(try_number=1), "outlet_events": MagicMock()}
    assert ingest.execute(context)["batch"] == received.batch


def test_the_example_dag_needs_no_manifest_to_be_named(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    conf = world.deliver("monday", world.part(0, 120))
    beside(conf)
    assert run_dag("lazaretto_ingest", conf).state == "success"


@pytest.mark.parametrize("kind", ["none", "other", "link", "pipe", "forged"])
def test_what_lies_beside_is_judged_as_any_manifest(world: Any, kind: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import ReceiveBatchOperator
    from lazaretto.sources.manifest import keygen

    stranger, _ = keygen()
    key = stranger if kind == "forged" else None
    conf = world.deliver("monday", world.part(0, 60), private_key=key)
    _, manifest = beside(conf)
    code = {
        "none": "unsigned",
        "other": "digest_mismatch",
        "link": "link",
        "pipe": "not_a_regular_file",
        "forged": "unknown_key",
    }[kind]
    if kind == "other":
        other = world.deliver("tuesday", world.part(60, 120))
        manifest.write_bytes(Path(other["manifest"]).read_bytes())
    elif kind != "forged":
        kept = manifest.rename(world.folder / "elsewhere.json")
        if kind == "link":
            manifest.symlink_to(kept)
        if kind == "pipe":
            os.mkfifo(manifest)
    receive = ReceiveBatchOperator(task_id="r", policy=world.policy, **conf)
    with pytest.raises(AirflowFailException):
        receive.execute({"ti": MagicMock()})
    assert [refused.code for refused in world.ledger(DeliveryRefused)] == [code]


@pytest.mark.parametrize("named", [True, False])
def test_file_and_manifest_are_waited_for_in_the_triggerer(world: Any, named: bool) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from lazaretto.operators.triggers import DeliveryArrivedTrigger

    conf = world.deliver("monday", world.part(0, 60))
    if named:
        file, manifest = Path(conf["uri"]), Path(conf["manifest"])
    else:
        file, manifest = beside(conf)
    kept = {path: path.read_bytes() for path in (file, manifest)}
    for path in kept:
        path.unlink()
    with pytest.raises(TaskDeferred) as deferred:
        waiting(world, conf).execute({"ti": MagicMock()})
    path, arguments = deferred.value.trigger.serialize()
    assert path == f"{DeliveryArrivedTrigger.__module__}.DeliveryArrivedTrigger"

    async def arrive() -> Any:
        running = asyncio.ensure_future(anext(DeliveryArrivedTrigger(**arguments).run()))
        for late, content in kept.items():
            await asyncio.wait([running], timeout=0.2)
            assert not running.done(), f"it did not wait for {late}"
            late.write_bytes(content)
        return (await asyncio.wait_for(running, 30)).payload

    event = asyncio.run(arrive())
    resumed = waiting(world, conf)
    assert getattr(resumed, deferred.value.method_name)({}, event) == {
        "uri": str(file),
        "source": "vendor-a",
    }
    assert (world.ledger(BatchReceived), world.ledger(DeliveryRefused)) == ([], [])


def test_it_works_as_a_plain_sensor_too(world: Any) -> None:
    conf = world.deliver("monday", world.part(0, 60))
    file, manifest = beside(conf)
    kept = manifest.read_bytes()
    manifest.unlink()
    sensor = waiting(world, conf, deferrable=False, mode="poke")
    assert not sensor.poke({})
    manifest.write_bytes(kept)
    assert sensor.execute({"ti": MagicMock()})["uri"] == str(file)


def test_a_folder_is_waited_for_until_its_manifest_is_beside_it(world: Any) -> None:
    conf = world.deliver("monday", world.part(0, 60))
    file, manifest = beside(conf)
    folder = file.with_name("images")
    conf["uri"] = str(folder)
    sensor = waiting(world, conf, deferrable=False, mode="poke")
    assert not sensor.poke({}), "there is no folder"
    file.rename(folder.with_name("kept"))
    folder.mkdir()
    assert not sensor.poke({}), "there is no manifest"
    manifest.rename(f"{folder}{BESIDE}")
    assert sensor.poke({})


@pytest.mark.parametrize(
    "changed",
    [{"uri": "/etc/passwd"}, {"uri": "gopher://x/y"}, {"manifest": "/etc/passwd"}],
    ids=str,
)
def test_what_would_be_refused_is_not_waited_for(world: Any, changed: dict[str, str]) -> None:
    conf = world.deliver("monday", world.part(0, 60)) | changed
    assert waiting(world, conf).execute({"ti": MagicMock()})["source"] == "vendor-a"


def test_a_place_that_cannot_be_entered_is_asked_again(world: Any, tmp_path: Path) -> None:
    from lazaretto.errors import SystemFaultError
    from lazaretto.operators.base import load_policy
    from lazaretto.stages.arrival import has_arrived

    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    policy = {
        "version": 1,
        "dataset": "handwriting",
        "columns": {"record_id": "id"},
        "sources": {"places": [str(loop)]},
    }
    conf = {"uri": f"{loop}/day.parquet", "source": "vendor-a"}
    with pytest.raises(SystemFaultError):
        has_arrived(**conf, policy=load_policy(policy), workspace=world.workspace)
    from lazaretto.operators import AwaitDeliveryOperator

    assert not AwaitDeliveryOperator(task_id="w", policy=policy, **conf).poke({})


def test_a_list_of_files_is_waited_for_and_received_as_one_delivery(world: Any) -> None:
    """As a task's output may be a list; its manifest lies beside the folder that holds them."""
    from airflow.sdk.exceptions import TaskDeferred

    from lazaretto.operators import ReceiveBatchOperator
    from lazaretto.sources.folder import sign_folder

    first = Path(world.deliver("monday/a", world.part(0, 60))["uri"])
    second = Path(world.deliver("monday/b", world.part(60, 120))["uri"])
    uris = [str(second), str(first)]
    conf: dict[str, Any] = {"uri": uris, "source": "vendor-a"}
    kept = second.rename(world.folder / "later.parquet")
    with pytest.raises(TaskDeferred):
        waiting(world, conf).execute({"ti": MagicMock()})
    kept.rename(second)
    folder = first.parent.parent
    with pytest.raises(TaskDeferred):
        waiting(world, conf).execute({"ti": MagicMock()})
    names = ["a/digits.parquet", "b/digits.parquet"]
    envelope = sign_folder(folder, source="vendor-a", private_key=world.private_key, only=names)
    Path(f"{folder}{BESIDE}").write_bytes(envelope)
    there = waiting(world, conf).execute({"ti": MagicMock()})
    assert there["uri"] == f"{folder}/{{a/digits.parquet,b/digits.parquet}}"
    receive = ReceiveBatchOperator(task_id="r", policy=world.policy, **conf)
    assert receive.execute({"ti": MagicMock()})["rows"] == 120
    (received,) = world.ledger(BatchReceived)
    assert received.signature.status == "VERIFIED"
