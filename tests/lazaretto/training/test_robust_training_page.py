"""The page "Train robustly": its code trains, registers, votes and looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pages
import torch
from torch import nn
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import TrainingSanitized

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.ledger.chain import Entry

PAGE = pages.ROOT / "docs/how-to/robust-training.md"


def _functions() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in pages.blocks(PAGE):
        if block.language == "python":
            exec(compile(block.text, str(PAGE), "exec"), found)  # noqa: S102  our own page
    return found


def _entries(yard: Yard) -> list[Entry]:
    with yard.workspace.catalog.read() as connection:
        return list(entries(connection, kinds=[TrainingSanitized.kind]))


def test_the_page_trains_registers_votes_and_looks(sqlite_yard: Yard, tmp_path: Path) -> None:
    yard, page = sqlite_yard, _functions()
    for number, source in enumerate(("vendor-a", "vendor-b", "vendor-a")):
        yard.admit(f"day{number}", blobs(90, seed=5 + number, prefix=f"d{number}-"), source)
    model, losses, sha256, made = page["train"](yard.workspace, yard.policy, tmp_path)
    assert made.ignored_weights == []
    assert made.inputs[0].name == "blobs"
    table = yard.dataset()
    rows = torch.tensor(table["vector"].to_pylist())
    labels = torch.tensor(table["label"].to_pylist())
    assert (model(rows).argmax(1) == labels).float().mean() > 0.95

    def fit(some: torch.Tensor, given: torch.Tensor) -> nn.Module:
        torch.manual_seed(0)
        net = nn.Linear(8, 3)
        optimizer = torch.optim.Adam(net.parameters(), 0.05)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(some), given).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return net

    sources = [f"v{i % 5}" for i in range(len(rows))]
    done = page["vote"](rows, sources, labels, rows, fit)
    assert done.certified_accuracy(labels.numpy(), 2) > 0.9
    names = [
        f"{batch}#{record}"
        for batch, record in zip(
            table["_lazaretto_batch"].to_pylist(),
            table["_lazaretto_record"].to_pylist(),
            strict=True,
        )
    ]
    found = page["look"](
        model, losses, sha256, rows, [str(one) for one in labels.tolist()], names, yard.policy
    )
    assert "slow_to_learn" in found.methods
    assert found.records["held"].to_numpy(zero_copy_only=False).mean() <= 0.02
    searched = stages.sanitize_training(
        yard.workspace, "blobs", model, yard.policy, trusted="none", dynamics=losses
    )
    assert searched.rows == 270
    (event,) = [
        entry.event for entry in _entries(yard) if isinstance(entry.event, TrainingSanitized)
    ]
    assert "slow_to_learn" in event.methods
