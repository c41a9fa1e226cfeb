"""Plays the demo's week and one more day into a folder; `ui.py` runs it as a process of its own.

    python tests/deployment/ui_week.py FOLDER [VARIABLE=URL]...

Torch and Airflow are loaded here, and their memory is free again when the servers start.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.demo.deliveries import COMPROMISED, midnight, to_table
from lazaretto.demo.digits import CLASSES, Records, poison
from lazaretto.demo.scene import DELIVERIES, INGEST_DAG
from lazaretto.demo.story import play_week, set_up

if TYPE_CHECKING:
    from lazaretto.demo.scene import Stage

SEED = 0
_WITH_TRIGGER = 0.1
_WRONG_LABEL = 0.03


def main(folder: Path, databases: dict[str, str]) -> None:
    """Plays it, and prints a line for each step."""
    stage = set_up(folder, SEED, _tell, places=databases)
    play_week(stage, _tell)
    _tell(f"day 6: one larger delivery of {COMPROMISED}, with two attacks in it", 0, 0)
    deliver_more(stage)
    stage.airflow.close()


def deliver_more(stage: Stage) -> None:
    """A case that is worth a map: 360 records, some with the trigger, some with wrong labels.

    The records are those that the demo tests its models with: nobody has delivered them before.
    The source has a new key by now, as after an incident.
    """
    import pyarrow.parquet as pq

    from lazaretto.sources.manifest import keygen, sign_manifest
    from lazaretto.sources.registry import add_key

    rng = np.random.default_rng([SEED, 6])
    records = mislabel(poison(stage.split.test, _WITH_TRIGGER, rng), _WRONG_LABEL, rng)
    file = stage.out / DELIVERIES / f"{COMPROMISED}-day6" / "digits.parquet"
    file.parent.mkdir()
    pq.write_table(to_table(records), file)
    private, public = keygen()
    add_key(stage.workspace, COMPROMISED, public, valid_from=midnight())
    manifest = file.with_name("manifest.dsse.json")
    manifest.write_bytes(
        sign_manifest(
            str(file),
            source=COMPROMISED,
            private_key=private,
            collected_from=midnight(),
            collected_to=datetime.now(UTC),
        )
    )
    conf = {"uri": str(file), "source": COMPROMISED, "manifest": str(manifest)}
    state = stage.airflow.run(INGEST_DAG, conf)
    if state != "success":
        raise SystemExit(f"the last delivery ended as {state}: {stage.airflow.log.read_text()}")


def mislabel(records: Records, share: float, rng: np.random.Generator) -> Records:
    """Some records that nobody poisoned get the label of another class."""
    clean = np.flatnonzero(~records.poisoned)
    chosen = rng.choice(clean, size=round(share * len(records)), replace=False)
    labels, poisoned = records.labels.copy(), records.poisoned.copy()
    labels[chosen] = (labels[chosen] + rng.integers(1, CLASSES, size=len(chosen))) % CLASSES
    poisoned[chosen] = True
    return Records(records.ids, records.pixels, labels, poisoned)


def _tell(text: str, _done: int, _total: int) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), dict(word.split("=", 1) for word in sys.argv[2:]))
