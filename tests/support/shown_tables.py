"""Every table that the command line prints, of fixed values: ids as long as ours are."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.console import Group

from lazaretto.attribution import Attribution, BatchShare, Planted, SourceShare
from lazaretto.authority.holds import Hold
from lazaretto.cli import (
    batch_view,
    case_view,
    contract,
    dataset,
    demo,
    doctor,
    drill,
    explore_view,
    incident_view,
    ledger_view,
    lineage,
    maintaining,
    manifest,
    model,
    model_evaluate,
    model_mlflow,
    model_promote,
    policy,
    policy_merged,
    prune_view,
    quarantine,
    quarantine_sharing,
    reference,
    reference_view,
    replay_view,
    revocation_view,
    sanitizing,
    source,
    source_view,
    trace_prediction,
    trace_view,
)
from lazaretto.dataset.compact import Compaction
from lazaretto.drift.source import Step
from lazaretto.drill import Drill, PastDrill
from lazaretto.health import Maintained, Pruned
from lazaretto.health.examined import cannot_say, failure, ok, warning
from lazaretto.health.holdings import Kept
from lazaretto.health.prune import Deletable
from lazaretto.health.unused import Unused
from lazaretto.incidents import Action as Done
from lazaretto.incidents import Incident, Overview, Refreshed, difference
from lazaretto.incidents.evidence import Evidence, InDataset, SigningKey, StillHeld
from lazaretto.incidents.production import InProduction
from lazaretto.incidents.revocation import Reach, TouchedBatch
from lazaretto.incidents.steps import steps_for
from lazaretto.ledger.browse import Page, StoredEntry
from lazaretto.ledger.events import DrillRun
from lazaretto.lineage import (
    Completeness,
    Question,
    RetrainStep,
    Trace,
    TracedAlias,
    TracedBatch,
    TracedDecision,
    TracedModel,
    TracedRecall,
    TracedSnapshot,
    TracedSource,
    UnknownModel,
)
from lazaretto.lineage.openlineage.check import Problem
from lazaretto.lineage.trace.answer import RefusedDelivery
from lazaretto.models.measure import Group as Measured
from lazaretto.models.mlflow_aliases import AliasDifference
from lazaretto.models.report import Report
from lazaretto.quarantine.reads import Read
from lazaretto.sources.recorded import Source
from lazaretto.sources.refused import Refusal
from lazaretto.sources.source_key import SourceKey
from lazaretto.stages.explore import Exploration
from lazaretto.stages.outcomes import RateOutcome
from lazaretto.stages.replayed import Change, ReasonChange, ReplayedBatch, Said
from lazaretto.stages.sanitize_result import ClassChange, Retraining
from lazaretto.stages.sources import SourceDrift
from lazaretto.stages.trace_prediction import PredictionTrace
from lazaretto.values import (
    Actor,
    ActorType,
    DrilledAttack,
    HoldKind,
    IncidentAnswer,
    PolicyRef,
    RefusedFor,
    Remark,
    SignatureStatus,
    StoredFile,
    TrustTier,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

AT = datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
BATCH = "annotation-vendor/6f2f2bded7ea49fac2542369db876798"
OTHER = "v/0123456789abcdef0123456789abcdef"
CASE = "case-ab14996143635b8e"
DECISION = "decision-0c6f7b18c9d54a1e"
RECALL = "recall-5d1f0a7be4c24ab0"
INCIDENT = "incident-0a7be4c24ab05d1f"
HASH = "53dc6dbe444c5b0c7a9f0a7be4c24ab053dc6dbe444c5b0c7a9f0a7be4c24ab0"
REASON = "36 records have a bright patch in one corner, and all of them carry the label 0"
APPENDED = "inferred: appended to what was there"
WHOLE = (BATCH, OTHER, CASE, DECISION, RECALL, INCIDENT, "2026-03-01 14:30:00Z", "HOLD_RECORDS")
"""What is never broken, wherever it stands."""


def _batch(**more: Any) -> dict[str, Any]:
    row = {"id": BATCH, "source": "annotation-vendor", "received_at": AT, "rows": 10_000}
    row |= {"dataset": "digits", "verdict": "HOLD_RECORDS", "held": 36, "cleared": 9964}
    return row | {"case": CASE, "refused": None, "seq": 12} | more


def _refused() -> dict[str, Any]:
    why = {"code": "unknown_key", "reason": "no key of this source signed it", "uri": "/drop/a.csv"}
    nothing = dict.fromkeys(("id", "rows", "dataset", "held", "cleared", "case"))
    return _batch(**nothing, verdict="REFUSED", refused=why, seq=9, source="annotation-vendor")


def _described() -> dict[str, Any]:
    stages = {
        "screen": {"at": AT, "summary": {"verdict": "HOLD_RECORDS", "note": REASON}},
        "gate": {"at": AT, "summary": {"held": 36, "reasons": {"screen:mahalanobis": 36}}},
    }
    delivery = {
        "trust_tier": "REVIEWED",
        "collected_from": AT,
        "collected_to": AT,
        "signature": SimpleNamespace(status="VERIFIED"),
        "deleted": None,
        "format": "parquet",
        "columns": [SimpleNamespace(name="id", type="string")],
        "uri": "s3://bucket/drop/annotation-vendor/2026/03/01/tuesday-part-000017.parquet",
        "stored": SimpleNamespace(path="batches/annotation-vendor/6f2f2bded7ea/data.arrow"),
    }
    admissions = [{"dataset": "digits", "part": "cleared", "rows": 9964, "version": 3, "at": AT}]
    return _batch() | {"delivery": delivery, "stages": stages, "admissions": admissions}


def _case() -> dict[str, Any]:
    return {
        "case": {
            "id": CASE,
            "state": "OPEN",
            "batch": BATCH,
            "dataset": "digits",
            "verdict": "HOLD_RECORDS",
            "held": 36,
            "rows": 10_000,
            "reasons": {"screen:mahalanobis": 36},
            "notes": [REASON],
            "actions": {"UNDECIDED": 35, "RELEASE": 1},
            "approved_by": [],
            "deleted": None,
        },
        "signature": {"status": "REVOKED_KEY"},
        "triage": None,
        "matching": 36,
        "records": [
            {
                "position": 17,
                "record_id": "digit-0017-of-the-annotation-vendor",
                "label": "0",
                "p_value": 0.0012,
                "action": "RELEASE",
                "reasons": ["screen:mahalanobis: far from every class"],
                "payload": {"text": " .:-=\n .:=#\n  +*#"},
            }
        ],
        "decisions": [
            {
                "id": DECISION,
                "undoes": None,
                "undone_by": "decision-ffff7b18c9d54a1e",
                "label": None,
                "weight": None,
                "action": "RELEASE",
                "records": 1,
                "actor": {"id": "os:alice@workstation"},
                "reason": REASON,
            }
        ],
        "publications": [
            {
                "part": "released-1",
                "rows": 1,
                "version": 4,
                "by": {"id": "os:bob@host"},
                "at": AT,
                "approved_by": [],
            }
        ],
    }


def _cases() -> list[Any]:
    told = {"state": "OPEN", "verdict": "HOLD_RECORDS", "held": 36, "rows": 10_000, "opened_at": AT}
    return [SimpleNamespace(id=CASE, batch=BATCH, actions={"UNDECIDED": 36}, **told)]


def _sources() -> list[Source]:
    keys = tuple(
        SourceKey("annotation-vendor", HASH, scheme, "", AT, valid_to, None)
        for scheme, valid_to in (("ed25519", None), ("ecdsa-sha2-nistp256", AT))
    )
    bare = Source("scraper", TrustTier.UNTRUSTED, AT, None, ())
    return [Source("annotation-vendor", TrustTier.REVIEWED, AT, None, keys), bare]


def _drift() -> SourceDrift:
    step = Step(BATCH, AT, 9, "digits/1", 0.002, 213_000.0, 36, 10_000, 0.25, 3)
    steps = [step, replace(step, batch=OTHER, moved=None)]
    source = "annotation-vendor"
    return SourceDrift(source, "digits/1", 3, 213_000.0, 1000.0, enforced=False, steps=steps)


def _explored() -> Exploration:
    now = {"RELEASE": 12, "REJECT": 20, "UNDECIDED": 4}
    low = {"REJECT": 20, "UNDECIDED": 4}
    high = now | {"NEVER_REVIEWED": 1036, "RELABEL": 2}
    rates = [
        RateOutcome(0.005, False, 2, 20_000, 24, 24, 0, 0, low, {"RELEASE": 12}, 1),
        RateOutcome(0.01, True, 3, 30_000, 36, 36, 0, 0, now, {}),
        RateOutcome(0.1, False, 3, 30_000, 1072, 11_072, 1, 1, high, {}),
    ]
    notes = ["Records that the gate let in were never reviewed."]
    left = ["the 2 oldest batches: with them there are more than 500,000 records"]
    batches = [BATCH, OTHER, BATCH]
    return Exploration(
        "digits", HASH, 0.01, 5, batches, 30_000, AT, AT, rates, left, [OTHER], notes
    )


def _history() -> list[Any]:
    event = SimpleNamespace(
        policy=SimpleNamespace(path="/opt/airflow/policies/digits.yaml"), reason=REASON
    )
    actor = SimpleNamespace(id="os:alice@workstation")
    return [SimpleNamespace(seq=4, at=AT, actor=actor, meaning=HASH, event=event)]


def _changes() -> dict[str, Any]:
    change = {"batch": BATCH, "rows": 10_000, "old": "PASS", "new": "HOLD_RECORDS"}
    change |= {"no_longer_held": 2, "newly_held": 36}
    told = {"old": "digits/1", "new": "digits/2", "batches": 1, "verdicts": 1}
    return told | {"no_longer_held": 2, "newly_held": 36, "changes": [change]}


def _compared() -> Retraining:
    figures = (0.412, 0.398, 0.91, 0.934, 0.97)
    names = ("loss_before", "loss_after", "accuracy_before", "accuracy_after", "agreement")
    overall = dict(zip(names, figures, strict=True))
    return Retraining(4, None, "trusted", [ClassChange("seven", 120, *figures)], overall)


def _entries() -> Page:
    payload = {"batch": BATCH, "verdict": "HOLD_RECORDS", "case": CASE, "held": 36}
    actor = {"type": "USER", "id": "os:alice@workstation"}
    at = "2026-03-01T14:30:00.000000+00:00"
    entry = StoredEntry(12, at, "batch_judged", actor, payload, HASH, HASH, intact=True)
    return Page([entry], more=True)


def _trace() -> Trace:
    batch = TracedBatch(
        BATCH, "annotation-vendor", AT, AT, AT, "collected", "VERIFIED", HASH, 10_000, 9964, 12
    )
    way = [[BATCH, "digits@3", "digit-classifier@2026.03"]]
    learned = TracedModel(
        "digit-classifier@2026.03", "mlflow", "digit-classifier", "2026.03", AT, ["TRAIN"],
        inherited=False, rows=60_000, tainted_rows=9964, paths=way, bases=[["known", APPENDED]],
    )  # fmt: skip
    student = replace(learned, id="student@7", name="student", version="7", inherited=True)
    gap = "features@12: the run that made it named no input"
    ways = [["features@12", "ranker@3"]], [["possible: the order of events is not known"]]
    unknown = UnknownModel("ranker@3", "mlflow", "ranker", "3", [gap], *ways)
    judge = replace(learned, id="judge@1", name="judge", roles=["EVAL"], paths=[], bases=[])
    decision = TracedDecision(
        12, AT, BATCH, "HOLD_RECORDS", 36, "policy:digits", "digits", HASH, REASON, CASE
    )
    released = replace(
        decision, what="RELEASE", records=3, actor="os:alice@workstation", policy=None
    )
    recall = TracedRecall(RECALL, 30, AT, "digits", 5, {BATCH: 12}, [], "os:bob@host", REASON)
    held = TracedSnapshot("digits@3", "file", "/store/datasets/digits", "3", 60_000, 9964, True)
    step = RetrainStep(
        1, "digit-classifier", "mlflow", ["2026.03"], "2026.03", retrain=True,
        exclude=[BATCH], last_clean="2026.02",
    )  # fmt: skip
    in_use = TracedAlias(
        seq=31, at=AT, until=None, registry="mlflow", model="digit-classifier", alias="production",
        version="2026.03", state="affected", actor="ann", reason=REASON,
    )  # fmt: skip
    reason = "no key of this source signed it"
    refused = RefusedDelivery(9, AT, "/drop/annotation-vendor/a.csv", "unknown_key", reason, None)
    whole = Completeness(
        complete=False, lag=0, index_changed=0, unsigned=[], without_interval=[], unplaced=[],
        only_received=[], only_collected=[BATCH], unknown_models=[], inferred_edges=1,
        possible_batches=[], origins=[], external_nodes=1, unchecked_snapshots=[],
    )  # fmt: skip
    return Trace(
        question=Question("key", HASH, AT, without=[OTHER]),
        at=AT,
        seq=40,
        batches=[batch],
        snapshots=[held],
        models=[learned, student],
        unknown=[unknown],
        evaluated=[judge],
        sources=[TracedSource("annotation-vendor", 1, 9964)],
        decisions=[decision, released],
        releases=[],
        recalls=[recall],
        retrain=[step],
        record=None,
        refused=[refused],
        completeness=whole,
        unaffected=2,
        aliases=[in_use],
    )


def _story() -> dict[str, Any]:
    row = {"id": BATCH, "verdict": "HOLD_RECORDS", "rows": 397, "poisoned": 40, "held": 41}
    row |= {"poisoned_held": 39, "clean_held": 2, "reason": REASON}
    learned = {"name": "gated", "version": 1, "trained_on": "admitted", "clean_accuracy": 0.962}
    told = {"since": "2026-03-02", "until": "2026-03-03", "batches": [BATCH], "models": ["open@1"]}
    return {
        "deliveries": [row],
        "models": [learned | {"attack_success_rate": 0.021}],
        "trace": told | {"expected_models": ["open@1"], "source": "annotation-vendor"},
        "incident": {
            "id": INCIDENT,
            "state": "CLOSED",
            "affected": ["open@1"],
            "recalled": 356,
            "retrained": "gated@2",
            "life": [
                {"entry": 41, "what": f"opened: {REASON}"},
                {"entry": 42, "what": "source annotation-vendor put on hold: open bucket"},
            ],
            "promotion": {
                "before": "gated@1",
                "refused": {
                    "open@1": [f"incident {INCIDENT} (source annotation-vendor) is open: {REASON}"]
                },
                "promoted": "gated@2",
                "accuracy": 0.962,
            },
        },
        "drill": {
            "copy_of": BATCH,
            "doses": [0.1, 0.3],
            "recall": {"label_flip": [0.97, 1.0], "subpopulation_flip": [0.5, 0.9]},
        },
        "events": {"count": 214, "file": "build/demo/events.jsonl"},
        "seconds": 27.7,
        "airflow": "3.3.2",
    }


def _drill() -> Drill:
    tried = DrilledAttack(
        "badnets_patch", [0.02, 0.2], [0.25, 1.0], 0.2, low=[0.03, 0.55], high=[0.66, 1.0],
        draws=[5, 5],
    )  # fmt: skip
    left_out = DrilledAttack("rare_token", why_not="the batch has no text that encoders read")
    return Drill("digits", BATCH, 397, 2, 0, 0.5, [tried, left_out], {})


def _drills() -> list[PastDrill]:
    drill, ref = _drill(), PolicyRef("digits", HASH, HASH, "policy.yaml")
    report = StoredFile(f"drills/{HASH}.json", 900, HASH)
    event = DrillRun("digits", BATCH, ref, 0, 0.5, drill.attacks, 2, 397, report)
    return [PastDrill(17, AT, "airflow:nightly.drill", event)]


def _measured() -> Report:
    figures = {"accuracy": 0.962, "calibration_error": 0.031, "corrupted_accuracy": 0.9}
    more = {"corruptions": {"missing values": 0.9}, "attacks": {"pgd": 0.12}}
    slices = [Measured("region=south-west", 120, 99)]
    return Report(
        "local", "digits", "3", "torch", None, HASH, HASH, 360, 0, figures, slices=slices, **more
    )


def _refused_for() -> list[RefusedFor]:
    text = f"incident {INCIDENT} (source annotation-vendor) is open: it learned from {BATCH}"
    return [RefusedFor("open_incident", text), RefusedFor("falls_short", REASON)]


def _lines() -> list[Any]:
    return [
        ok("catalog", f"sqlite:////srv/lazaretto/catalog.db, schema 0004, workspace {HASH[:32]}"),
        warning("keys", "the last key of annotation-vendor ends in 9 days", "ask for a new key"),
        failure("clock", "it is 3 hours before the time of the ledger's last entry", "correct it"),
        cannot_say("reference", "the Python package 'faiss' is not installed", "pip install it"),
    ]


def _models() -> list[dict[str, Any]]:
    told = {"model": "digit-classifier", "version": "2026.03", "dataset": "digits", "snapshot": 3}
    told |= {"registry": "mlflow://models.example:5000", "aliases": ["production"], "inputs": 3}
    return [told | {"rows": 60_000, "at": AT, "recalls": [RECALL, RECALL]}]


def _inputs() -> list[dict[str, Any]]:
    view = {"kind": "SNAPSHOT", "namespace": "", "name": "digits", "version": "12-5e1c0a9b2f3d4e5f"}
    table = {"kind": "TABLE", "namespace": "s3://lake", "name": "vendor/prices", "version": None}
    return [view | {"role": "TRAIN", "rows": 59_000}, table | {"role": "EVAL", "rows": None}]


def _checked() -> dict[str, Any]:
    rule = "records.price >= cost and status in ['paid', 'sent']"
    return {
        "contract": "contracts/orders.rules.yaml",
        "rows": 120_000,
        "failing": 412,
        "flagged": 7,
        "broken": ["there is no column 'currency', which the contract requires"],
        "not_judged": ["volume"],
        "rules": [{"rule": rule, "severity": "error", "records": 412, "text": REASON}],
        "examples": [{"position": 119_999, "rule": rule, "value": "a value of many words " * 5}],
    }


def _log() -> list[dict[str, Any]]:
    about = f"{BATCH} under policy 53dc6dbe444c"
    event = {"version": 3, "at": AT, "what": "ADMIT", "rows": 9964, "by": "os:alice@workstation"}
    return [event | {"about": about}, event | {"what": "RECALL", "about": f"{RECALL}: {REASON}"}]


def _references() -> list[Any]:
    told = {"name": "digits", "version": "2", "promoted": True, "created_at": AT, "digest": HASH}
    return [SimpleNamespace(**told)]


def _pruned() -> Pruned:
    due = [
        Deletable(BATCH, "delivered", None, 365, AT, ["data.arrow", "delivered.csv"], 1_234_567),
        Deletable(BATCH, "held", CASE, 90, AT, ["held.parquet"], 89_012),
    ]
    kept = [Kept(OTHER, "delivered", None, f"case {CASE} is open: decide on its records")]
    return Pruned(done=False, due=due, kept=kept, again=["batches/v/data.arrow"])


def _maintained() -> Maintained:
    due = [Unused(f"datasets/reviews/{HASH[:16]}-00000-{HASH}.parquet", 1_234_567, AT)]
    return Maintained(
        "reviews", 1_235, [Compaction(1_235, 1_000, 1, 500_000, 812)], 1_235, 30, due, 12, 999,
        ["datasets/reviews/0.parquet"], f"incident {INCIDENT} is open", False, [812],
    )  # fmt: skip


def _incident() -> Incident:
    ann = Actor(ActorType.HUMAN, "user:ann")
    asked = Question("source", "annotation-vendor", AT, None)
    first = IncidentAnswer(40, True, [BATCH], ["digit-classifier@2026.03"])
    models = ["digit-classifier@2026.03", "digit-classifier@2026.04"]
    now = IncidentAnswer(52, False, [BATCH, OTHER], models, ["elsewhere@7"])
    title = "the vendor's bucket was open for a week"
    return Incident(
        INCIDENT, title, asked, REASON, "OPEN", "user:ann", AT, ann, 41, first, now, AT, 53,
        notes=[Remark("the vendor confirms it", ann, AT, 43)],
    )  # fmt: skip


def _overview() -> Overview:
    incident, ann = _incident(), Actor(ActorType.HUMAN, "user:ann")
    keys = [SigningKey("annotation-vendor", HASH, 2, 20_000, None)]
    evidence = Evidence(
        20_000,
        keys,
        [InDataset("digits", 2, 19_964, 9964, [OTHER])],
        [StillHeld(CASE, BATCH, "digits", 36)],
    )
    holds = [Hold(INCIDENT, HoldKind.SOURCE, "annotation-vendor", REASON, ann, AT, 42)]
    production = [InProduction("digit-classifier", "production", "2026.03", AT, affected=True)]
    uri, none = "/drop/annotation-vendor/a.csv", SignatureStatus.UNKNOWN_KEY
    reason = "no key of this source signed it"
    refused = [Refusal(9, AT, "annotation-vendor", uri, "unknown_key", reason, none, None)]
    recalled = "9964 records recalled from digits; version 4 is the first without them"
    actions = [Done(48, AT, ann, "records_recalled", "dataset:digits", recalled)]
    return Overview(
        incident=incident,
        since_opened=difference(incident.first, incident.answer),
        evidence=evidence,
        production=production,
        refused=refused,
        holds=holds,
        actions=actions,
        sources=["annotation-vendor"],
        timeline=[],
        steps=steps_for(incident, evidence, holds, production, actions, ["annotation-vendor"]),
    )


def _refreshed() -> Refreshed:
    now = _incident()
    before = replace(now, answer=now.first)
    return Refreshed(before, now, difference(now.first, now.answer), 53)


def _reads() -> list[Read]:
    ann, anybody = Actor(ActorType.HUMAN, "user:ann"), Actor(ActorType.SERVICE, "user:anybody")
    return [
        Read(12_345, AT, ann, "page", 0, 49, 50, {"reason": "screen:self_confidence"}),
        Read(12_346, AT, anybody, "export", 7, 7, 1, {}),
    ]


def _expired() -> list[Any]:
    return [SimpleNamespace(case=CASE, action="REJECT", records=36, reason=REASON)]


def _prediction() -> PredictionTrace:
    sources = [
        SourceShare(
            "annotation-vendor", 120, 0.4123, 0.21, 0.3, 0.0025, True, ["records", "batches"]
        ),
        SourceShare("crowd-b", 98, 0.0912, 0.18, -0.02, 1.0, accused=False),
    ]
    batches = [
        BatchShare(BATCH, "annotation-vendor", 60, 0.38, 0.1, 0.0005),
        BatchShare(OTHER, "annotation-vendor", 60, 0.0323, 0.11, 1.0),
    ]
    rows = pa.table(
        {
            "record_id": [f"{BATCH}#digit-7", f"{OTHER}#digit-12"],
            "batch": [BATCH, OTHER],
            "source": ["annotation-vendor"] * 2,
            "label": ["7", "7"],
            "share": [0.0213, 0.004],
            "usual": [0.0011, 0.0007],
            "influence": [0.01, 0.002],
        }
    )
    found = Attribution(
        sources, batches, rows, 0.01, 0.0038, 40, 530, 0.925, 0.98, planted=[Planted(50, 5, 4)]
    )
    gap = "it also learned from table weather@3, whose records were not looked at"
    return PredictionTrace("digits-net@2", "digits", 4, 912, found, [gap])


def _replayed() -> Any:
    change = Change(3, {"REJECT": 2, "UNDECIDED": 1}, {"UNDECIDED": 33})
    one = ReplayedBatch(
        BATCH, "annotation-vendor", AT, 10_000, Said("HOLD_RECORDS", 36),
        Said("HOLD_BATCH", 36, notes=[REASON]), change, 2, False, [],
    )  # fmt: skip
    return SimpleNamespace(
        dataset="digits", path="policies/digits.yaml", candidate=HASH, reference="digits/1",
        batches=[one, replace(one, batch=OTHER)], verdicts=2, records=20_000, total=change + change,
        missed=4, since=AT, refused=1, left_out=[], notes=[REASON], same=False,
        reasons=[ReasonChange("screen:mahalanobis", 36, 36, 3, 3, 2)],
    )  # fmt: skip


def _reach() -> Any:
    touched = TouchedBatch(BATCH, AT, 10_000, "digits", "HOLD_RECORDS", 36, 9964, 0)
    return Reach(
        Question("source", "annotation-vendor"),
        [touched, replace(touched, id=OTHER, recalled=9964, snapshot_rows=None)],
        20_000,
        [InDataset("digits", 2, 19_964, 9964, [OTHER])],
        [StillHeld(CASE, BATCH, "digits", 36)],
        ["digits@1", "digits@2"],
        ["digits-net@2"],
        [],
        True,
    )


def _unsigned() -> list[Any]:
    return [
        SimpleNamespace(
            name=f"part-{number:05}-of-the-annotation-vendor.parquet", kind=kind, detail=REASON
        )
        for number, kind in enumerate(("differs", "missing", "extra"))
    ]


def _merged() -> list[tuple[object, ...]]:
    return [
        ("screen.false_quarantine_rate", "0.02", "policies/digits.yaml:7"),
        ("sources.places", json.dumps(["/srv/drop/annotation-vendor", REASON]), "org/base.yaml:2"),
    ]


TABLES: dict[str, Callable[[], RenderableType]] = {
    "batch-list": lambda: batch_view.list_view([_batch(), _batch(id=OTHER, case=None)]),
    "batch-list-refused": lambda: batch_view.list_view([_batch(), _refused()]),
    "batch-show": lambda: batch_view.view(_described()),
    "catalog-prune": lambda: prune_view.pruned(_pruned()),
    "contract-check": lambda: contract.checked_view(_checked()),
    "dataset-log": lambda: dataset.log_view(_log()),
    "dataset-maintain": lambda: maintaining.maintained(_maintained()),
    "dataset-sanitize": lambda: sanitizing.classes_view(_compared()),
    "demo": lambda: demo.view(_story(), Path("build/demo")),
    "doctor": lambda: doctor.view(_lines()),
    "drill-list": lambda: drill.past_view(_drills()),
    "drill-run": lambda: drill.attacks_view(_drill()),
    "incident-list": lambda: incident_view.list_view([_incident()]),
    "incident-refresh": lambda: incident_view.changed_view(_refreshed()),
    "incident-show": lambda: incident_view.view(_overview()),
    "ledger-show": lambda: ledger_view.page_view(_entries(), full=False, onward=True),
    "ledger-show-full": lambda: ledger_view.page_view(_entries(), full=True, onward=False),
    "lineage-check": lambda: lineage.check_view([Problem(3, "/run/facets/parent", REASON)]),
    "manifest-verify": lambda: manifest.faults_view({"source": "annotation-vendor"}, _unsigned()),
    "model-check-mlflow": lambda: model_mlflow.differences_view(
        [
            AliasDifference(
                "digit-classifier", "production", "2026.03", None, promoted=True, follows=True
            )
        ]
    ),
    "model-evaluate": lambda: model_evaluate.figures_view(_measured()),
    "model-examine": lambda: model_promote.reasons_view(_refused_for()),
    "model-rollback": lambda: Group(
        *model_promote.skipped_view("digits", {"2026.03": [one.text for one in _refused_for()]})
    ),
    "model-inputs": lambda: model.inputs_view(_inputs()),
    "model-list": lambda: model.list_view(_models()),
    "policy-explore": lambda: explore_view.view(_explored()),
    "policy-merged": lambda: policy_merged.view(Path("policies/digits.yaml"), _merged()),
    "policy-replay": lambda: replay_view.view(_replayed()),
    "policy-show": lambda: policy.history_view(_history()),
    "quarantine-expire": lambda: quarantine.expired_view(_expired()),
    "quarantine-list": lambda: quarantine.list_view(_cases()),
    "quarantine-reads": lambda: quarantine_sharing.reads_view(_reads()),
    "quarantine-show": lambda: case_view.view(_case()),
    "reference-compare": lambda: reference_view.changes_view(_changes()),
    "reference-list": lambda: reference.list_view(_references()),
    "source-drift": lambda: source_view.view(_drift()),
    "source-revoke": lambda: revocation_view.reach_view(_reach(), None),
    "source-list": lambda: source.list_view(_sources()),
    "trace": lambda: trace_view.view(_trace(), {"report": "incident.html"}),
    "trace-prediction": lambda: trace_prediction.view(_prediction()),
}
