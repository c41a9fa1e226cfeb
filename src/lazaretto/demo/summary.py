"""The demo's summary: the only place that looks at the truth, and the tables shown at the end."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.demo import network
from lazaretto.demo.deliveries import COMPROMISED, COMPROMISED_DAYS
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import (
    BatchJudged,
    BatchReceived,
    BatchValidated,
    DeliveryRefused,
)

if TYPE_CHECKING:
    from lazaretto.demo.deliveries import Delivery
    from lazaretto.demo.scene import Stage, Training
    from lazaretto.ledger.events import Event


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """What happened to one delivery, in counts of records."""

    id: str
    source: str
    verdict: str
    rows: int
    poisoned: int
    held: int
    poisoned_held: int
    clean_held: int
    reason: str


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model and its scores."""

    name: str
    version: str
    trained_on: str
    clean_accuracy: float
    attack_success_rate: float


def summarize(
    stage: Stage,
    trainings: list[Training],
    incident: dict[str, object],
    drill: dict[str, object],
    *,
    started: float,
) -> dict[str, Any]:
    """Compares what was done with the truth, trains the models to compare with, and traces.

    Args:
        stage: where it was played.
        trainings: of the week.
        incident: what came of the incident.
        drill: what came of the drill.
        started: when the demo began, by the monotonic clock.

    Returns:
        The summary, which is also written to ``summary.json`` in the demo's folder.
    """
    from airflow import __version__ as airflow_version

    from lazaretto.lineage import trace_source

    week = stage.week
    with stage.workspace.catalog.read() as connection:
        events = [entry.event for entry in ledger.entries(connection)]
    admitted = _admitted_ids(stage, trainings[-1])
    rows = [_delivery_row(delivery, events, admitted) for delivery in week.deliveries]
    trace = trace_source(stage.workspace, COMPROMISED, since=week.since, until=week.until)
    count = sum(1 for _ in stage.events.open()) if stage.events.exists() else 0
    summary: dict[str, Any] = {
        "seconds": 0.0,
        "airflow": airflow_version,
        "seed": stage.seed,
        "deliveries": [asdict(row) for row in rows],
        "models": [asdict(row) for row in _model_rows(stage, trainings)],
        "baseline": {
            "trained_on": "the clean part of what was delivered",
            "clean_accuracy": network.evaluate(
                _train_on(stage, clean_only=True), stage.split.test
            ).clean_accuracy,
        },
        "poisoned_records_kept_out": _kept_out(week.deliveries, admitted),
        "clean_records_held": _clean_held_share(rows, week.deliveries),
        "trace": {
            "source": COMPROMISED,
            "since": week.since.isoformat(),
            "until": week.until.isoformat(),
            "batches": [batch.id for batch in trace.batches],
            "models": sorted(f"{model.name}@{model.version}" for model in trace.models),
            "expected_models": sorted(_expected_models(week.deliveries, trainings)),
        },
        "incident": incident,
        "drill": drill,
        "events": {"file": str(stage.events), "count": count},
    }
    summary["seconds"] = round(time.monotonic() - started, 1)
    (stage.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _delivery_row(delivery: Delivery, events: list[Event], admitted: set[str]) -> DeliveryRow:
    uri = str(delivery.uri)
    poisoned = int(delivery.records.poisoned.sum())
    for event in events:
        if isinstance(event, DeliveryRefused) and event.uri == uri:
            return DeliveryRow(
                delivery.id, delivery.source, "REFUSED", delivery.rows, poisoned,
                delivery.rows, poisoned, 0, event.reason,
            )  # fmt: skip
    received = next(e for e in events if isinstance(e, BatchReceived) and e.uri == uri)
    judged = next(e for e in events if isinstance(e, BatchJudged) and e.batch == received.batch)
    outside = np.array([record not in admitted for record in delivery.records.ids], dtype=bool)
    return DeliveryRow(
        id=delivery.id,
        source=delivery.source,
        verdict=judged.verdict.value,
        rows=judged.rows,
        poisoned=poisoned,
        held=judged.held,
        poisoned_held=int((outside & delivery.records.poisoned).sum()),
        clean_held=int((outside & ~delivery.records.poisoned).sum()),
        reason=_reason(judged, events),
    )


def _reason(judged: BatchJudged, events: list[Event]) -> str:
    """What a vendor is told: wrong with the batch, broken rules, suspect records."""
    validated = next(e for e in events if isinstance(e, BatchValidated) and e.batch == judged.batch)
    told = [*validated.broken, *(rule.words for rule in validated.rules)]
    suspect = {
        signature.removeprefix("screen:"): count
        for signature, count in judged.reasons.items()
        if signature.startswith("screen:")
    }
    told += [f"suspect to {detector} ({count})" for detector, count in suspect.items()]
    return "; ".join(told)


def _admitted_ids(stage: Stage, training: Training) -> set[str]:
    from lazaretto.demo.scene import DATASET
    from lazaretto.stages.snapshot import snapshot

    taken = snapshot(stage.workspace, DATASET, version=training.snapshot, read=False)
    return set(taken.table(["id"])["id"].to_pylist())


def _kept_out(deliveries: tuple[Delivery, ...], admitted: set[str]) -> float:
    poisoned = [i for d in deliveries for i in d.records.ids[d.records.poisoned]]
    return float(np.mean([record not in admitted for record in poisoned]))


def _clean_held_share(rows: list[DeliveryRow], deliveries: tuple[Delivery, ...]) -> float:
    """Share of the clean records of deliveries that were judged, and not refused, that are held."""
    judged = [row.verdict != "REFUSED" for row in rows]
    clean = sum(
        int((~d.records.poisoned).sum()) for d, kept in zip(deliveries, judged, strict=True) if kept
    )
    return sum(row.clean_held for row in rows) / clean


def _expected_models(deliveries: tuple[Delivery, ...], trainings: list[Training]) -> list[str]:
    """Models fed a record of the compromised deliveries, by the list that each training kept."""
    bad = {
        record
        for delivery in deliveries
        if delivery.source == COMPROMISED and delivery.day in COMPROMISED_DAYS
        for record in delivery.records.ids
    }
    return [f"{t.model}@{t.version}" for t in trainings if bad & set(t.fed_ids())]


def _model_rows(stage: Stage, trainings: list[Training]) -> list[ModelRow]:
    everything = network.evaluate(_train_on(stage, clean_only=False), stage.split.test)
    rows = [ModelRow("digits-unguarded", "1", "delivered", *_numbers(everything))]
    for training in trainings:
        scores = network.evaluate(network.load(training.weights), stage.split.test)
        rows.append(ModelRow(training.model, training.version, "admitted", *_numbers(scores)))
    return rows


def _numbers(scores: network.Scores) -> tuple[float, float]:
    return round(scores.clean_accuracy, 4), round(scores.attack_success_rate, 4)


def _train_on(stage: Stage, *, clean_only: bool) -> network.DigitNet:
    records = [delivery.records for delivery in stage.week.deliveries]
    if clean_only:
        records = [part.take(~part.poisoned) for part in records]
    pixels = np.concatenate([part.pixels for part in records])
    labels = np.concatenate([part.labels for part in records])
    return network.train(pixels, labels, seed=stage.seed)
