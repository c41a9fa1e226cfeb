"""All stages in one call give what they give one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.errors import DeliveryError
from lazaretto.ledger import chain as ledger
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

STAGES = ["receive", "validate", "embed", "screen", "gate", "admit"]


def said(workspace: Workspace) -> list[tuple[str, Any]]:
    """What is on the ledger, without the moment of receipt."""
    with workspace.catalog.read() as connection:
        found = [entry.event for entry in ledger.entries(connection)]
    return [(event.kind, _timeless(event)) for event in found]


def _timeless(event: object) -> dict[str, Any]:
    from lazaretto.values import to_json

    values = to_json(event)
    return {key: value for key, value in values.items() if key != "received_at"}


@pytest.mark.parametrize("flips", [0, 6, 60])
def test_one_call_writes_what_six_write(
    yard: Yard, tmp_path: Path, fitted_reference: str, flips: int
) -> None:
    from lazaretto.storage.workspace import open_workspace

    rows = blobs(90, seed=5, flips=flips)
    path = yard.deliver("day", rows)
    found = stages.ingest(yard.workspace, path, "vendor-a", yard.policy)
    other = make_yard(
        open_workspace(catalog_url=f"sqlite:///{tmp_path}/other.db", store=tmp_path / "other"),
        fitted_reference,
        tmp_path,
    )
    batch = stages.receive(other.workspace, path, "vendor-a", policy=other.policy)
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(other.workspace, batch.id, other.policy)
    judged = stages.gate(other.workspace, batch.id, other.policy)
    assert (found.judgement.verdict, found.judgement.held) == (judged.verdict, judged.held)
    if judged.verdict is not Verdict.HOLD_BATCH:
        stages.admit(other.workspace, batch.id, policy=other.policy)
    kinds = [kind for kind, _ in said(yard.workspace)]
    assert kinds == [kind for kind, _ in said(other.workspace)]
    ours, theirs = dict(said(yard.workspace)), dict(said(other.workspace))
    for kind in (
        "batch_received",
        "batch_validated",
        "batch_embedded",
        "batch_screened",
        "batch_judged",
    ):
        assert ours[kind] == theirs[kind]
    if found.admission is not None:
        assert yard.ids() == other.ids()


def test_again_it_returns_what_it_returned_and_writes_nothing(yard: Yard) -> None:
    path = yard.deliver("day", blobs(90, seed=5, flips=6))
    first = stages.ingest(yard.workspace, path, "vendor-a", yard.policy)
    before = said(yard.workspace)
    again = stages.ingest(yard.workspace, path, "vendor-a", yard.policy)
    assert (again.judgement, again.seqs) == (first.judgement, first.seqs)
    assert again.admission == first.admission
    assert said(yard.workspace) == before


def test_a_held_batch_is_not_admitted(yard: Yard) -> None:
    path = yard.deliver("day", blobs(30, seed=5, flips=30))
    found = stages.ingest(yard.workspace, path, "vendor-a", yard.policy)
    assert found.judgement.verdict.holds_batch
    assert found.admission is None


def test_what_is_on_record_is_told_stage_by_stage_also_when_a_later_one_fails(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator reports it as its task's, whatever becomes of the task."""
    path = sqlite_yard.deliver("day", blobs(60, seed=5))
    begun: list[str] = []
    told: list[tuple[str, object, list[int]]] = []

    class Stop(Exception):  # noqa: N818
        pass

    def working(stage: str) -> Any:
        from contextlib import nullcontext

        begun.append(stage)
        if stage == "screen" and len(begun) < len(STAGES):
            raise Stop
        return nullcontext()

    def ingest() -> stages.Ingestion:
        return stages.ingest(
            sqlite_yard.workspace,
            path,
            "vendor-a",
            sqlite_yard.policy,
            working=working,
            done=lambda stage, result, seqs: told.append((stage, result, seqs)),
        )

    with pytest.raises(Stop):
        ingest()
    assert [(stage, len(seqs)) for stage, _, seqs in told] == [
        ("receive", 1),
        ("validate", 2),
        ("embed", 3),
    ]
    with pytest.raises(DeliveryError):
        stages.ingest(sqlite_yard.workspace, path, "nobody", sqlite_yard.policy)
    # Called again it goes on where it stopped.
    found = ingest()
    assert begun[4:] == STAGES
    assert found.seqs[:3] == told[2][2]
    assert found.admission is not None
    assert found.admission.rows == 60


HEAVY = [
    "torch",
    "scipy",
    "sklearn",
    "polars",
    "pandera",
    "great_expectations",
    "airflow",
]
PROGRAM = """
import sys
from lazaretto import stages
from lazaretto.policy import Policy
from lazaretto.storage.workspace import open_workspace
catalog, store, policy, delivery = sys.argv[1:5]
found = stages.ingest(
    open_workspace(catalog_url=catalog, store=store),
    delivery,
    "vendor-a",
    Policy.model_validate_json(policy),
)
print(found.admission.rows, [name for name in sys.argv[5:] if name in sys.modules])
"""


def test_a_small_delivery_loads_nothing_that_it_does_not_use(sqlite_yard: Yard) -> None:
    """To load torch and scipy.stats takes three times as long as all the rest of a delivery."""
    import subprocess
    import sys

    url = str(sqlite_yard.workspace.catalog.engine.url)
    names = ("mahalanobis", "knn_label", "self_confidence", "density", "duplicates")
    policy = make_policy(screen={"reference": "all", "detectors": {name: {} for name in names}})
    save_reference(sqlite_yard.workspace, Reference.fit(blobs(900, seed=1), policy, name="all"))
    path = sqlite_yard.deliver("day", blobs(60, seed=5))
    root = str(sqlite_yard.workspace.store.root)
    said = policy.model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, root, said, str(path), *HEAVY],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split(" ", 1)[1].strip() == "[]"


def test_names_load_when_they_are_used_and_stay_functions() -> None:
    import importlib
    from types import ModuleType

    from lazaretto import lineage

    for room in (stages, lineage):
        for name in room.__all__:
            assert not isinstance(getattr(room, name), ModuleType), name
        assert set(room.__all__) <= set(dir(room))
    importlib.import_module("lazaretto.stages.screen")
    assert callable(stages.screen)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stages.nothing
