"""The demo's story: a week of deliveries, trainings in between, an incident and its trace."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta
from importlib.util import find_spec
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.demo.scene import (
    DATASET,
    DELIVERIES,
    INGEST_DAG,
    INGEST_SMALL_DAG,
    MODEL,
    POLICY_FILE,
    TRAINING_DAG,
    Stage,
    Training,
)
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from lazaretto.demo.deliveries import Delivery


def run_demo(
    *,
    out: Path,
    seed: int = 0,
    store: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, object]:
    """Plays the whole story and writes ``summary.json``.

    Args:
        out: folder for everything the demo makes; replaced if an earlier demo made it.
        seed: of the split, the attacks and the trainings.
        store: root of another store than a folder of `out`, such as ``s3://bucket/try``. It stays
            there, and no second demo uses it.
        progress: called with a line of text, steps done and steps in all.

    Returns:
        The summary, as written.

    Raises:
        UsageError: the folder holds something that is not a demo's.
        OtherStoreError: another workspace uses the store.
    """
    from lazaretto.demo.deliveries import TRAIN_AFTER_DAYS
    from lazaretto.demo.model_gate import drill
    from lazaretto.demo.response import respond
    from lazaretto.demo.summary import summarize

    started = time.monotonic()
    tell = progress or (lambda _text, _done, _total: None)
    stage = set_up(out, seed, tell, places={} if store is None else {"LAZARETTO_STORE": store})
    trainings = play_week(stage, tell)
    total = len(stage.week.deliveries) + len(TRAIN_AFTER_DAYS) + 1
    tell(
        "an incident is opened, its records are recalled, and a model is trained anew",
        total - 1,
        total,
    )
    versions = count(len(trainings) + 1)
    incident = respond(stage, trainings, lambda: _train(stage, str(next(versions))))
    stage.airflow.close()
    tell("a drill: known attacks on a copy of the last batch", total - 1, total)
    drilled = drill(stage)
    tell("training the two models to compare with, and tracing the incident", total - 1, total)
    summary = summarize(stage, trainings, incident, drilled, started=started)
    tell("done", total, total)
    return summary


def play_week(stage: Stage, tell: Callable[[str, int, int], None]) -> list[Training]:
    """Takes all deliveries through the gate, day by day, and trains on what was let in.

    Args:
        stage: from `set_up`.
        tell: called with a line of text, steps done and steps in all; the last step is the
            caller's.

    Returns:
        The trainings, in their order.
    """
    from lazaretto.demo.deliveries import TRAIN_AFTER_DAYS

    deliveries = stage.week.deliveries
    total = len(deliveries) + len(TRAIN_AFTER_DAYS) + 1
    done = 0
    trainings: list[Training] = []
    for day, group in groupby(deliveries, key=lambda delivery: delivery.day):
        of_day = list(group)
        names = ", ".join(delivery.id for delivery in of_day)
        tell(f"day {day}: {names} go through the gate", done, total)
        told = [_told(delivery) for delivery in of_day]
        if done == 0:  # the very first has a task for every stage, all others one task each
            stage.airflow.run(INGEST_DAG, told.pop(0))
        stage.airflow.run(INGEST_SMALL_DAG, {"deliveries": told})
        done += len(of_day)
        if day in TRAIN_AFTER_DAYS:
            version = str(len(trainings) + 1)
            tell(f"day {day}: the training DAG makes {MODEL}@{version}", done, total)
            trainings.append(_train(stage, version))
            done += 1
    return trainings


def set_up(
    out: Path,
    seed: int,
    tell: Callable[[str, int, int], None],
    *,
    places: Mapping[str, str] | None = None,
) -> Stage:
    """Makes data, keys, an Airflow home and a workspace, all in one folder.

    Args:
        out: the folder; replaced if an earlier demo made it.
        seed: of the split and of the attacks.
        tell: called with a line of text, steps done and steps in all.
        places: environment variables that name another store, or other databases for Airflow or
            the catalog, than what lies in the folder.

    Returns:
        Where the week can be played.

    Raises:
        UsageError: the folder holds something that is not a demo's.
        OtherStoreError: another workspace uses the store.
    """
    from lazaretto.demo import airflow_home
    from lazaretto.demo.deliveries import make_week, midnight
    from lazaretto.demo.digits import load_split
    from lazaretto.demo.network import SEED_VARIABLE
    from lazaretto.storage.workspace import open_workspace

    _clear(out)
    tell("preparing data, keys and a throw-away Airflow", 0, 1)
    events = out / "openlineage.jsonl"
    policy = Path(shutil.copy(POLICY_FILE, out))
    variables = {
        "LAZARETTO_CATALOG_URL": f"sqlite:///{out / 'catalog.db'}",
        "LAZARETTO_STORE": str(out / "store"),
        "LAZARETTO_POLICY": str(policy),
        "LAZARETTO_DATASET": DATASET,
        SEED_VARIABLE: str(seed),
        **(places or {}),
    }
    airflow = airflow_home.prepare(out, dags=_dags_folder(), events=events, variables=variables)
    split = load_split(seed)
    week = make_week(out / DELIVERIES, split.delivered, seed=seed, today=midnight())
    workspace = open_workspace(
        catalog_url=variables["LAZARETTO_CATALOG_URL"], store=variables["LAZARETTO_STORE"]
    )
    stage = Stage(out, seed, split, week, workspace, airflow, events)
    _register_vendors(stage, week.since)
    _fit_reference(stage)
    return stage


def _clear(out: Path) -> None:
    marker = out / ".lazaretto-demo"
    if out.exists():
        if not marker.exists() and any(out.iterdir()):
            raise UsageError(f"{out} is not empty and was not made by the demo: name another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    marker.touch()


def _dags_folder() -> Path:
    spec = find_spec("lazaretto.demo.dags")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("this installation of Lazaretto has no DAGs: reinstall it")
    return Path(next(iter(spec.submodule_search_locations)))


def _register_vendors(stage: Stage, since: datetime) -> None:
    from lazaretto.sources.registry import add_key, add_source
    from lazaretto.values import TrustTier

    for vendor, public_key in stage.week.public_keys.items():
        add_source(stage.workspace, vendor, trust_tier=TrustTier.REVIEWED)
        add_key(
            stage.workspace,
            vendor,
            public_key,
            valid_from=since - timedelta(days=30),
            valid_to=None,
        )


def _fit_reference(stage: Stage) -> None:
    from lazaretto.demo.deliveries import to_table
    from lazaretto.policy import Policy
    from lazaretto.registry.fit_version import fit_version

    policy = Policy.load(POLICY_FILE)
    trusted = to_table(stage.split.trusted)
    fit_version(stage.workspace, trusted, policy, name=DATASET, seed=stage.seed)


def _told(delivery: Delivery) -> dict[str, str]:
    """What the ingestion DAGs are told of a delivery."""
    return {
        "uri": str(delivery.uri),
        "source": delivery.source,
        "manifest": str(delivery.manifest),
    }


def _train(stage: Stage, version: str) -> Training:
    from lazaretto.ledger import chain as ledger
    from lazaretto.ledger.events import ModelRegistered

    weights = stage.out / "models" / f"{MODEL}-{version}.safetensors"
    conf = {"model": MODEL, "version": version, "weights": str(weights)}
    state = stage.airflow.run(TRAINING_DAG, conf)
    with stage.workspace.catalog.read() as connection:
        registered = [e.event for e in ledger.entries(connection, kinds=[ModelRegistered.kind])]
    event = registered[-1] if registered else None
    if not isinstance(event, ModelRegistered) or event.version != version or event.snapshot is None:
        raise RuntimeError(f"the training run ended as {state}: see {stage.airflow.log}")
    return Training(model=MODEL, version=version, snapshot=event.snapshot, weights=weights)
