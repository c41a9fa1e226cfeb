"""Histories of models, played for real, and what each version is by the oracle's own book."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from yard import ANN, blobs, make_policy

from lazaretto import incidents, stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset.recall import recall
from lazaretto.health.fold import changes
from lazaretto.ledger.events import ModelEvaluated, TrainingSanitized
from lazaretto.ledger.state import record
from lazaretto.sources.registry import add_source
from lazaretto.stages.model_inputs import read_inputs
from lazaretto.values import HoldKind, PolicyRef, Question, TrustTier

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

SOURCES = ("vendor-a", "vendor-b", "vendor-c")
TEST_SET = "7e" * 32


@dataclass
class Model:
    """A version by the oracle's book: its number is its place in time."""

    snapshot: int | None
    base: int | None
    foreign: bool
    weights: str | None
    figures: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Book:
    """What happened, as the oracle keeps it: no line of it is read from the catalog."""

    workspace: Workspace
    folder: Path
    rules: dict[str, Any]
    policy: Policy = field(init=False)
    file: StoredFile = field(init=False)
    batches: list[tuple[str, str]] = field(default_factory=list)
    inside: set[int] = field(default_factory=set)
    snapshots: dict[int, frozenset[int]] = field(default_factory=dict)
    models: list[Model] = field(default_factory=list)
    recalled: set[int] = field(default_factory=set)
    sanitized: set[int] = field(default_factory=set)
    open: dict[str, tuple[str, Any]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in SOURCES:
            add_source(self.workspace, name, trust_tier=TrustTier.REVIEWED)
        self.file = self.workspace.store.put("evaluations/{sha256}.json", [b"{}"])
        self.policy = make_policy(screen={"mode": "off"}, model=self.rules)
        register_policy(self.workspace, self.policy, reason="the first")

    # -- what may happen ------------------------------------------------------------------------

    def deliver(self, source: int) -> None:
        number = len(self.batches)
        path = self.folder / f"{number}.parquet"
        pq.write_table(blobs(3, seed=number, prefix=f"{number}-"), path)
        name = SOURCES[source % len(SOURCES)]
        batch = stages.receive(self.workspace, path, name, policy=self.policy).id
        stages.validate(self.workspace, batch, self.policy)
        judged = stages.gate(self.workspace, batch, self.policy)
        assert not judged.held, judged.notes
        stages.admit(self.workspace, batch)
        self.batches.append((name, batch))
        self.inside.add(number)

    def train(self, base: int, foreign: bool) -> None:
        """A version that learned from what is in the dataset now, and from an earlier version."""
        if not self.inside:
            return
        taken = stages.snapshot(self.workspace, "blobs")
        self.snapshots[taken.version] = frozenset(self.inside)
        older = base % (len(self.models) + 1) - 1
        weights = self.folder / f"weights-{len(self.models)}"
        weights.write_bytes(str(len(self.models)).encode())
        made = stages.register_model(
            self.workspace,
            "net",
            str(len(self.models)),
            "blobs",
            taken.version,
            inputs=read_inputs(
                base=[*([] if older < 0 else [f"net@{older}"]), *(["bert@1"] if foreign else [])],
            ),
            artifact=weights,
        )
        self.models.append(
            Model(taken.version, None if older < 0 else older, foreign, made.artifact_digest)
        )

    def evaluate(self, model: int, accuracy: float, rows: int, how: str, own: bool) -> None:
        if not self.models:
            return
        model %= len(self.models)
        digest = self.models[model].weights if own else "0d" * 32
        told = {"accuracy": accuracy, "rows": rows, "how": how, "own": own}
        self.models[model].figures.append(told)
        event = ModelEvaluated(
            model="net",
            version=str(model),
            registry="local",
            how=how,
            code=None,
            artifact_digest=None if how == "predictions" else digest,
            test_set=TEST_SET,
            rows=rows,
            figures={"accuracy": accuracy},
            report=self.file,
            predictions=self.file,
        )
        self._record(event)

    def sanitize(self, model: int) -> None:
        if not self.models:
            return
        version = self.models[model % len(self.models)].snapshot
        assert version is not None
        self.sanitized.add(version)
        ref = PolicyRef("blobs", "a" * 64, "b" * 64, None)
        self._record(
            TrainingSanitized(
                dataset="blobs", version=version, model="net", policy=ref, methods=[], layers=[],
                calibrated=True, false_quarantine_rate=0.01, rows=3, held=0, classes=[],
                scores=self.file,
            )
        )  # fmt: skip

    def take_back(self, batch: int) -> None:
        left = sorted(self.inside)
        if not left:
            return
        number = left[batch % len(left)]
        recall(self.workspace, "blobs", batch=self.batches[number][1], reason="hacked")
        self.inside.discard(number)
        self.recalled.add(number)

    def ask(self, kind: str, which: int, hold: bool) -> None:
        if not self.batches or (kind == "model" and not self.models):
            return
        subject: Any
        if kind == "source":
            subject = SOURCES[which % len(SOURCES)]
            asked = Question("source", subject)
        elif kind == "batch":
            subject = which % len(self.batches)
            asked = Question("batch", self.batches[subject][1])
        else:
            subject = which % len(self.models)
            asked = Question("model", f"net@{subject}")
        holds = [(HoldKind.PROMOTION, "net")] if hold and self.models else []
        opened = incidents.open_incident(self.workspace, asked, reason="odd", holds=holds)
        self.open[opened.id] = kind, subject
        if holds:
            self.held.add(opened.id)

    def conclude(self, which: int) -> None:
        if not self.open:
            return
        incident = sorted(self.open)[which % len(self.open)]
        if incident in self.held:
            hold = (HoldKind.PROMOTION, "net")
            incidents.lift_hold(self.workspace, incident, *hold, reason="looked at")
            self.held.discard(incident)
        incidents.close(self.workspace, incident, "it was nothing")
        del self.open[incident]

    # -- what the oracle says -------------------------------------------------------------------

    def line(self, model: int) -> list[int]:
        """A version and those whose weights it began with."""
        found = [model]
        while (older := self.models[found[-1]].base) is not None:
            found.append(older)
        return found

    def learned(self, model: int) -> set[int]:
        """Batches that a version learned from, by way of others too."""
        found: set[int] = set()
        for one in self.line(model):
            snapshot = self.models[one].snapshot
            found |= self.snapshots[snapshot] if snapshot is not None else set()
        return found

    def tainted(self, model: int) -> bool:
        for kind, subject in self.open.values():
            if kind == "model" and subject in self.line(model):
                return True
            if kind == "batch" and subject in self.learned(model):
                return True
            if kind == "source" and any(
                self.batches[number][0] == subject for number in self.learned(model)
            ):
                return True
        return bool(self.learned(model) & self.recalled)

    def short(self, model: int) -> bool:
        asked = self.rules.get("evidence")
        if asked is None:
            return False
        counting = [
            one
            for one in self.models[model].figures
            if one["rows"] >= asked["rows"]
            and (asked["predictions"] if one["how"] == "predictions" else one["own"])
        ]
        return not counting or counting[-1]["accuracy"] < asked["accuracy"]

    def may(self, model: int, in_use: int | None) -> bool:
        """Whether a version may be put in use while another one is."""
        listed = self.rules.get("promoters")
        if listed is not None and ANN.id not in listed:
            return False
        if self.held and not (in_use is not None and model < in_use):
            return False
        if self.tainted(model) or self.short(model):
            return False
        unknown = any(self.models[one].foreign for one in self.line(model))
        if unknown and self.rules.get("unknown_origin") != "allow":
            return False
        snapshots = {self.models[one].snapshot for one in self.line(model)}
        return not self.rules.get("sanitized") or snapshots <= self.sanitized

    def _record(self, event: Any) -> None:
        with self.workspace.catalog.transaction() as connection:
            record(connection, event, changes, actor=self.workspace.actor)
