"""The page about the model gate: its policy, its commands and its DAG work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pages
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from yard import Yard, blobs

from lazaretto import models, stages

if TYPE_CHECKING:
    from pathlib import Path

PAGE = pages.ROOT / "docs/how-to/model-gate.md"
BLOCKS = pages.blocks(PAGE)
APP = """
import torch
from safetensors.torch import load_file

def load(weights):
    net = torch.nn.Sequential(torch.nn.Linear(8, 3))
    net.load_state_dict(load_file(weights))
    return net
"""


def test_the_commands_of_the_page_run_in_order(sqlite_yard: Yard, tmp_path: Path) -> None:
    yard = sqlite_yard
    net = torch.nn.Linear(8, 3)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[torch.arange(3), torch.arange(3)] = 1.0
        net.bias.zero_()
    weights = tmp_path / "net-2.safetensors"
    save_file(torch.nn.Sequential(net).state_dict(), weights)
    (tmp_path / "app.py").write_text(APP)
    rows = blobs(120, seed=9, prefix="t")
    regions = ["north", "south"] * 60
    pq.write_table(rows.append_column("region", pa.array(regions)), tmp_path / "test.parquet")
    for version, name in (("1", "monday"), ("2", "tuesday")):
        yard.admit(name, blobs(120, seed=len(name), prefix=name))
        taken = stages.snapshot(yard.workspace, "blobs")
        artifact = weights if version == "2" else None
        stages.register_model(
            yard.workspace, "net", version, "blobs", taken.version, artifact=artifact
        )
    models.promote(yard.workspace, "net", "1", reason="before anything was asked for")
    place = {
        "LAZARETTO_CATALOG_URL": yard.workspace.catalog.engine.url.render_as_string(False),
        "LAZARETTO_STORE": yard.workspace.store.root,
    }
    (policy,) = [block.text for block in BLOCKS if block.title == "policy.yaml"]
    (tmp_path / "policy.yaml").write_text(policy.replace("reviews", "blobs"))
    printed = []
    for block in BLOCKS:
        if block.language == "bash":
            lines = "\n".join(pages.shell_lines(block)).replace("reviews", "blobs")
            printed += pages.run_lines(lines, tmp_path, **place)
    # Version 1 was never measured, so that there is nothing to go back to.
    wrong = {"lazaretto model rollback net --dry-run": 1}
    for command, code, text in printed:
        expected = wrong.get(command, 2 if command.startswith("lazaretto model rollback") else 0)
        assert code == expected, f"{command}\n{text}"
    told = "\n".join(text for _, _, text in printed)
    assert "slice region=south (60 rows)" in told
    assert "no version of 'net' before 2 may be in use" in told
    assert "label_flip" in told


def test_the_dag_of_the_page_is_one() -> None:
    (code,) = [block.text for block in BLOCKS if block.title == "release.py"]
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102  the page's own code
    assert names["evaluate"].downstream_task_ids == {"promote"}  # type: ignore[attr-defined]
