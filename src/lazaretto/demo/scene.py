"""The demo's stage: names, files and the parts that other demo modules share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lazaretto.demo.airflow_home import AirflowHome
    from lazaretto.demo.deliveries import Week
    from lazaretto.demo.digits import Split
    from lazaretto.storage.workspace import Workspace

DATASET = "handwriting"


MODEL = "digits"


INGEST_DAG = "lazaretto_ingest"
INGEST_SMALL_DAG = "lazaretto_ingest_small"


TRAINING_DAG = "lazaretto_training"


POLICY_FILE = Path(__file__).with_name("policy.yaml")


DELIVERIES = "deliveries"
"""Folder of the vendors' files, which the policy names as a place."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays: its folder, data, week, workspace and Airflow."""

    out: Path
    seed: int
    split: Split
    week: Week
    workspace: Workspace
    airflow: AirflowHome
    events: Path


@dataclass(frozen=True, slots=True)
class Training:
    """One run of the training DAG, and what had been let in by then.

    Attributes:
        model: model name.
        version: model version.
        snapshot: version of the admitted dataset that it read.
        weights: file with the trained weights.
    """

    model: str
    version: str
    snapshot: int
    weights: Path

    def fed_ids(self) -> list[str]:
        """Ids of the records that the training read, by its own note."""
        from lazaretto.demo.network import fed_ids_file

        return fed_ids_file(self.weights).read_text().split()
