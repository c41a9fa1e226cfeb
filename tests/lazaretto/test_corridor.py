"""A straight corridor: how often a batch is read, and how often a stage asks the catalog."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.batch import Batch
from lazaretto.storage.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PASSES = 6


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Passes over a batch's records, and the catalog's transactions, as the real ones happen."""
    count: Counter[str] = Counter()
    stored, read, transaction = Batch._stored, Catalog.read, Catalog.transaction

    def passing(self: Batch, names: Any) -> Iterator[Any]:
        count["passes"] += 1
        yield from stored(self, names)

    @contextmanager
    def reading(self: Catalog) -> Iterator[Any]:
        count["reads"] += 1
        with read(self) as connection:
            yield connection

    @contextmanager
    def writing(self: Catalog) -> Iterator[Any]:
        count["writes"] += 1
        with transaction(self) as connection:
            yield connection

    monkeypatch.setattr(Batch, "_stored", passing)
    monkeypatch.setattr(Catalog, "read", reading)
    monkeypatch.setattr(Catalog, "transaction", writing)
    return count


@pytest.mark.parametrize("day", ["first", "second"])
def test_a_batch_is_read_six_times_at_most_and_a_stage_writes_once(
    sqlite_yard: Yard, counted: Counter[str], day: str
) -> None:
    """Decoding the delivered file, in the child, is the first pass."""
    yard = sqlite_yard
    if day == "second":
        yard.admit("monday", blobs(60, seed=6, prefix="m"))
    delivery = yard.deliver("tuesday", blobs(60, seed=5, prefix="t", flips=4))
    passes, batch = 1, ""
    for stage in ("receive", "validate", "embed", "screen", "gate", "admit"):
        counted.clear()
        if stage == "receive":
            batch = stages.receive(yard.workspace, delivery, "vendor-a", policy=yard.policy).id
        elif stage == "admit":
            stages.admit(yard.workspace, batch)
        else:
            getattr(stages, stage)(yard.workspace, batch, yard.policy)
        passes += counted["passes"]
        told = f"{stage}: {dict(counted)}"
        # Receipt looks twice: who delivers, before a byte is decoded, and once its content is
        # known, whether it was received before.
        # The gate looks at the dataset's table, too: whether the batch fits it.
        # Admission looks once more when its rows are written, so that the writer lock, under which
        # only what changed since is looked at, is held for little.
        more = {"receive": 1, "gate": 2, "admit": 1}
        assert counted["reads"] <= 1 + more.get(stage, 0), told
        assert counted["writes"] <= 1, told
    assert passes <= MOST_PASSES
