"""Memory and seconds of the stages receive and validate, each as a command, from a Parquet file.

    python benchmarks/contract_stages.py [--rows 1000000,10000000] [--bad 0.0005] [--model]

The file has the 20 columns of `contracts.py` and is written 250,000 records at a time; the contract
is the same 45 rules in YAML, with the rule over whole records among them, or with `--model` the
pandera model, whose rule over whole records is given all of them at once. Peaks are what the kernel
says of a command and all processes that it started. Prints one JSON line for each command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PART = 250_000
LAZARETTO = Path(sys.executable).with_name("lazaretto")


def prepare(folder: Path, rows: int, bad: float, *, model: bool) -> None:
    """Writes a policy, and a delivery of so many records of which only a part is in memory."""
    import polars as pl
    import pyarrow.parquet as pq
    from contracts import _arrow, sample, yaml_rules

    policy = {
        "version": 1,
        "dataset": "benchmark",
        "columns": {"record_id": "id", "label": "label"},
        "contract": "contracts:Record" if model else yaml_rules(),
        "sources": {"require_signature": False},
    }
    (folder / "policy.yaml").write_text(json.dumps(policy))  # YAML reads what JSON writes
    frame = sample(min(PART, rows), bad)
    with pq.ParquetWriter(folder / "delivery.parquet", _arrow(frame).schema) as writer:
        for first in range(0, rows, frame.height):
            ids = (pl.int_range(frame.height) + first).cast(pl.String)
            writer.write_table(_arrow(frame.with_columns(id=ids).head(rows - first)))


class Commands:
    """Runs commands on a catalog and a store of their own, and prints what they took.

    Args:
        folder: for all files.
        told: what every line says.
    """

    def __init__(self, folder: Path, told: dict[str, Any]) -> None:
        self._folder, self._told = folder, told
        self._environment = os.environ | {
            "LAZARETTO_CATALOG_URL": f"sqlite:///{folder / 'catalog.db'}",
            "LAZARETTO_STORE": str(folder / "store"),
            "LAZARETTO_POLICY": str(folder / "policy.yaml"),
            "PYTHONPATH": str(Path(__file__).parent),
        }

    def run(self, name: str, *words: str) -> Any:
        """What a command says; what it took is printed under a name."""
        said, start = self._folder / "said.json", time.perf_counter()
        with said.open("wb") as out:
            command = [LAZARETTO, *words, "--json"]
            child = subprocess.Popen(command, cwd=self._folder, stdout=out, env=self._environment)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in (0, 1):
            raise SystemExit(f"{words}: exit code {child.returncode}")
        line = {
            "command": name,
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
            "seconds": round(time.perf_counter() - start, 1),
            "peak_megabytes": used.ru_maxrss // 1024,
        }
        print(json.dumps(self._told | line), flush=True)
        return json.loads(said.read_text())


def main() -> None:
    """Measures each number of records in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000000,10000000")
    parser.add_argument("--bad", type=float, default=0.0005)
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.prepare:
        prepare(Path(asked.prepare), int(asked.rows), asked.bad, model=asked.model)
        return
    for rows in map(int, asked.rows.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # In a process of its own: what starts a command counts among the command's peak.
            words = ["--prepare", name, "--rows", str(rows), "--bad", str(asked.bad)]
            words += ["--model"] if asked.model else []
            subprocess.run([sys.executable, __file__, *words], check=True)
            size = (folder / "delivery.parquet").stat().st_size // 2**20
            contract = "model" if asked.model else "rules"
            commands = Commands(folder, {"rows": rows, "file": size, "contract": contract})
            commands.run("source add", "source", "add", "vendor", "--trust-tier", "reviewed")
            delivery = ("delivery.parquet", "--source", "vendor")
            batch = commands.run("batch receive", "batch", "receive", *delivery)
            (folder / "delivery.parquet").unlink()
            print(json.dumps(commands.run("batch validate", "batch", "validate", batch["id"])))


if __name__ == "__main__":
    main()
