"""A snapshot read into a training: every row once, checked, with weight, source and record."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.data import DataLoader
from typer.testing import CliRunner
from yard import Yard, blobs

import lazaretto as lz
from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.dataset.delta import WEIGHT
from lazaretto.errors import ChangedFileError, UsageError
from lazaretto.quarantine import review
from lazaretto.quarantine.publish import publish
from lazaretto.stages.model_inputs import as_read
from lazaretto.stages.models import show_model
from lazaretto.training import training_data
from lazaretto.values import Action

if TYPE_CHECKING:
    from lazaretto.training import TrainingData

pytestmark = pytest.mark.alike


def _admit(yard: Yard) -> stages.Snapshot:
    for number, source in enumerate(("vendor-a", "vendor-b", "vendor-a")):
        yard.admit(f"day{number}", blobs(30, seed=5 + number, prefix=f"d{number}-"), source)
    return stages.snapshot(yard.workspace, "blobs")


def _records(data: TrainingData) -> list[str]:
    return [record for batch in data for record in batch.records]


def test_every_row_comes_once_with_who_sent_it(yard: Yard) -> None:
    taken = _admit(yard)
    rows = taken.table()
    data = training_data(taken, batch_size=32)
    batches = list(data)
    assert [len(batch) for batch in batches] == [32, 32, 26]
    assert _records(data) == rows["_lazaretto_record"].to_pylist()
    first = batches[0]
    assert first.sources == rows["_lazaretto_source"].to_pylist()[:32]
    assert first.batches == rows["_lazaretto_batch"].to_pylist()[:32]
    assert isinstance(first["vector"], torch.Tensor)
    assert first["vector"].shape == (32, 8)
    assert torch.equal(first["vector"], torch.tensor(rows["vector"].to_pylist()[:32]))
    assert first["label"].dtype == torch.int64
    assert first["text"] == rows["text"].to_pylist()[:32]
    assert first.sample_weight.tolist() == [1.0] * 32


def test_shuffling_gives_every_row_once_and_follows_the_seed(yard: Yard) -> None:
    taken = _admit(yard)
    whole = taken.table()["_lazaretto_record"].to_pylist()
    for buffer in (7, 40, 1000):
        data = training_data(taken, shuffle=buffer, seed=3, batch_size=10)
        order = _records(data)
        assert sorted(order) == sorted(whole)
        assert order != whole
        assert _records(data) == order
        data.set_epoch(1)
        assert sorted(_records(data)) == sorted(whole)
        assert _records(data) != order


def test_ranks_and_workers_share_the_rows(yard: Yard) -> None:
    taken = _admit(yard)
    whole = sorted(taken.table()["_lazaretto_record"].to_pylist())
    for shuffle in (0, 50):
        shares = [
            _records(training_data(taken, shuffle=shuffle, batch_size=8, shard=(rank, 3)))
            for rank in range(3)
        ]
        assert sorted(record for share in shares for record in share) == whole
    data = training_data(taken, shuffle=50, batch_size=8)
    loader = DataLoader(data, batch_size=None, num_workers=2)
    assert sorted(record for batch in loader for record in batch.records) == whole


def test_a_changed_byte_stops_the_training(yard: Yard) -> None:
    taken = _admit(yard)
    path = Path(yard.workspace.store.uri(taken.files[1].file.path).removeprefix("file://"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ChangedFileError):
        list(training_data(taken))


def test_what_cannot_be_a_tensor_is_named(yard: Yard) -> None:
    taken = _admit(yard)
    with pytest.raises(UsageError, match="no column 'colour'"):
        training_data(taken, ["colour"])
    with pytest.raises(UsageError, match="batch_size"):
        training_data(taken, batch_size=0)
    batch = next(iter(training_data(taken, ["label"])))
    with pytest.raises(UsageError, match="no column 'vector' was read"):
        batch["vector"]
    with pytest.raises(UsageError, match="sample_weight was not read"):
        _ = batch.sample_weight


def _weighed(yard: Yard) -> stages.Snapshot:
    """A snapshot in which a reviewer gave records half a weight."""
    judged = yard.judge("odd", blobs(60, seed=8, prefix="odd", flips=6))
    case = str(judged.case)
    review.decide(yard.workspace, case, Action.REWEIGHT, all=True, weight=0.5, reason="doubtful")
    publish(yard.workspace, case)
    return stages.snapshot(yard.workspace, "blobs")


def test_weights_that_a_training_ignored_are_told_at_registration(yard: Yard) -> None:
    plain = _admit(yard)
    weighed = _weighed(yard)
    for number, (taken, reads_weights, told) in enumerate(
        [(plain, False, []), (weighed, True, []), (weighed, False, [f"blobs@{weighed.id}"])]
    ):
        data = training_data(taken)
        for batch in data:
            assert len(batch["vector"]) == len(batch["label"])
            if reads_weights:
                odd = torch.tensor([record.startswith("odd") for record in batch.records])
                assert torch.equal(batch.sample_weight, torch.where(odd, 0.5, 1.0))
        assert (WEIGHT in data.reads.columns) is reads_weights
        made = lz.register_model("net", str(number), reads=[data.reads], workspace=yard.workspace)
        assert made.ignored_weights == told
        assert [(one.name, one.version) for one in made.inputs] == [("blobs", taken.id)]
    shown = show_model(yard.workspace, "net", "2")
    assert shown["ignored_weights"] == [f"blobs@{weighed.id}"]


def test_what_was_not_read_is_added_to_a_model_on_record_once(yard: Yard) -> None:
    taken = _weighed(yard)
    data = training_data(taken, ["vector", "label"])
    named = [f"blobs@{taken.id}"]
    first = lz.register_model("net", "1", snapshots=named, workspace=yard.workspace)
    assert first.ignored_weights == []
    told = lz.register_model("net", "1", reads=[data.reads], workspace=yard.workspace)
    again = lz.register_model("net", "1", reads=[data.reads], workspace=yard.workspace)
    assert told.ignored_weights == again.ignored_weights == named
    assert told.seq == again.seq > first.seq


def test_a_command_says_it_too(sqlite_yard: Yard, sqlite_catalog: str) -> None:
    yard = sqlite_yard
    taken = _weighed(yard)
    place = {"LAZARETTO_CATALOG_URL": sqlite_catalog, "LAZARETTO_STORE": yard.workspace.store.root}

    def run(version: str, columns: str) -> str:
        words = ["model", "register", f"net@{version}", "--read", f"blobs@{taken.id}:{columns}"]
        result = CliRunner().invoke(app, words, env=place | {"COLUMNS": "120"})
        assert result.exit_code == 0, result.output
        return result.stdout

    assert f"not read, of blobs@{taken.id}" in run("1", "vector,label")
    assert "not read" not in run("2", f"vector,label,{WEIGHT}")
    for wrong in ("blobs@1", "blobs@1:", "blobs:vector", {"dataset": "blobs", "columns": ["a"]}):
        with pytest.raises(UsageError, match="does not say what was read"):
            as_read(wrong)
    assert as_read(asdict(training_data(taken).reads)) == training_data(taken).reads
