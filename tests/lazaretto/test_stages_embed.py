"""The embedding stage with an encoder, and references in the store."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pytest
from yard import Yard, make_policy

from lazaretto import stages
from lazaretto.batch import _batch
from lazaretto.drift import Profile
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.reference import Reference
from lazaretto.registry.references import (
    list_references,
    load_reference,
    promote_reference,
    save_reference,
)
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.policy import Policy

pytestmark = pytest.mark.alike
WORDS = ["the train is late again today", "goals and cups won by the team", "stocks fell on fears"]


def _texts(count: int, prefix: str, *, flips: int = 0) -> pa.Table:
    return pa.table(
        {
            "id": [f"{prefix}{number}" for number in range(count)],
            "label": [(number + (number < flips)) % 3 for number in range(count)],
            "text": [f"{WORDS[number % 3]} {number % 7}" for number in range(count)],
        }
    )


def _policy(yard: Yard) -> Policy:
    return make_policy(
        columns={"record_id": "id", "label": "label"},
        embed={"encoder": "hashing", "columns": ["text"], "options": {"buckets": 64}},
        screen={**yard.policy.screen.model_dump(), "reference": "texts"},
    )


def test_an_encoder_writes_a_side_car_that_screening_reads(sqlite_yard: Yard) -> None:
    yard, policy = sqlite_yard, _policy(sqlite_yard)
    save_reference(yard.workspace, Reference.fit(_texts(900, "r"), policy, name="texts"))
    batch = yard.receive("texts", _texts(90, "t", flips=6)).id
    stages.validate(yard.workspace, batch, policy)
    with pytest.raises(UsageError, match="run `embed` first"):
        stages.screen(yard.workspace, batch, policy)
    embedded = stages.embed(yard.workspace, batch, policy)
    assert stages.embed(yard.workspace, batch, policy) == embedded
    vectors = read_table(yard.workspace.store, embedded.said.vectors)
    assert vectors["record_id"].to_pylist() == [f"t{number}" for number in range(90)]
    assert vectors["embedding"].type.list_size == embedded.said.dimensions
    stages.screen(yard.workspace, batch, policy)
    judged = stages.gate(yard.workspace, batch, policy)
    assert judged.cleared
    admission = stages.admit(yard.workspace, batch)
    assert not {f"t{number}" for number in range(6)} & set(yard.ids())
    assert admission.rows >= 80


def test_a_batch_is_read_at_most_six_times_after_its_receipt(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an encoder, figures of drift, fingerprints and records that are held, too."""
    yard, policy = sqlite_yard, _policy(sqlite_yard)
    trusted = _texts(900, "r")
    reference = Reference.fit(trusted, policy, name="texts")
    save_reference(yard.workspace, reference, profile=Profile.fit(trusted, reference, policy))
    passes: list[str] = []
    read_chunks = _batch.read_chunks

    def counted(
        file: IO[bytes], names: Sequence[str], numbers: Sequence[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        passes.append(", ".join(names))
        return read_chunks(file, names, numbers)

    monkeypatch.setattr(_batch, "read_chunks", counted)
    path = yard.deliver("texts", _texts(90, "t", flips=6))
    batch = stages.receive(yard.workspace, path, "vendor-a", policy=policy).id
    assert passes == []
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    judged = stages.gate(yard.workspace, batch, policy)
    assert judged.held
    assert judged.cleared
    stages.admit(yard.workspace, batch)
    assert len(passes) <= 6, passes


def test_a_bare_name_means_the_promoted_version(yard: Yard, fitted_reference: str) -> None:
    workspace = yard.workspace
    first = Reference.load(fitted_reference)
    assert save_reference(workspace, first).promoted
    second = Reference.fit(_texts(900, "r"), _policy(yard), name="blobs", version="2")
    assert not save_reference(workspace, second, promote=False).promoted
    assert load_reference(workspace, "blobs").digest == first.digest
    assert load_reference(workspace, "blobs/2").digest == second.digest
    assert not save_reference(workspace, second).promoted
    promote_reference(workspace, "blobs", "2")
    assert load_reference(workspace, "blobs").digest == second.digest
    known = {(known.version, known.promoted) for known in list_references(workspace, "blobs")}
    assert known == {("1", False), ("2", True)}
    with pytest.raises(NotFoundError, match="no reference 'blobs/3'"):
        load_reference(workspace, "blobs/3")


def test_another_content_under_a_known_version_is_refused(yard: Yard) -> None:
    other = Reference.fit(_texts(900, "x"), _policy(yard), name="blobs")
    with pytest.raises(UsageError, match="another version"):
        save_reference(yard.workspace, other)
