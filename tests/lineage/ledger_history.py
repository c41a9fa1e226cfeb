"""Writes histories into a ledger by hand, one event at a time, as the stages would."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lazaretto import values
from lazaretto.dataset.snapshots import (
    WholeSnapshot,
    as_differences,
    cost_of,
    version_digest,
)
from lazaretto.ledger import events
from lazaretto.ledger.chain import append
from lazaretto.values import (
    Action,
    Actor,
    ActorType,
    PolicyRef,
    Signature,
    SignatureStatus,
    StoredFile,
    TrustTier,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.storage.workspace import Workspace

START = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = PolicyRef(dataset="digits", sha256="ab" * 32, meaning="ac" * 32, path="policy.yaml")
JANE = Actor(ActorType.HUMAN, "user:jane")
SERVICE = Actor(ActorType.SERVICE, "service:airflow")
VERIFIED = Signature(
    SignatureStatus.VERIFIED,
    key_id="k1",
    scheme="ed25519",
    envelope=StoredFile("batches/x/envelope.json", 100, "cd" * 32),
)
TABLE = {"table_id": "e2890763-e757-4ca9-a739-7677e0178cb0", "schema": "5c" * 32}
COLUMNS = [values.Column("id", "string"), values.Column("pixels", "fixed_size_list<float>[64]")]


_BY_SERVICE = (events.ModelRegistered, events.BatchReceived, events.BatchJudged)


def _actor(event: events.Event) -> Actor:
    return SERVICE if isinstance(event, _BY_SERVICE) else JANE


@dataclass
class History:
    """A ledger in the making; `version` is the Delta version of its dataset."""

    workspace: Workspace
    dataset: str = "digits"
    version: int = 0
    count: int = 0
    seqs: list[int] = field(default_factory=list)
    taken: dict[int, WholeSnapshot] = field(default_factory=dict)
    waiting: list[events.Event] | None = None

    def __post_init__(self) -> None:
        # Whatever an entry names was written before it, and with it whose store it is.
        self.workspace.store.replace("written", b"")

    @property
    def dataset_uri(self) -> str:
        return f"{self.workspace.store.root}/datasets/{self.dataset}"

    def write(self, *found: events.Event) -> None:
        if self.waiting is not None:
            self.waiting += found
            return
        with self.workspace.catalog.transaction() as connection:
            self.seqs += [append(connection, event, actor=_actor(event)).seq for event in found]

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is written within goes into one transaction."""
        self.waiting = waiting = []
        yield
        self.waiting = None
        self.write(*waiting)

    def receive(
        self,
        source: str = "vendor-a",
        day: int = 0,
        *,
        rows: int = 100,
        collected: bool = True,
        received: datetime | None = None,
        signature: Signature = VERIFIED,
    ) -> str:
        self.count += 1
        moment = START + day * DAY
        batch = f"{source}/{self.count:016x}"
        self.write(
            events.BatchReceived(
                batch=batch,
                source=source,
                trust_tier=TrustTier.REVIEWED,
                uri=f"/incoming/{source}/{day}.parquet",
                format="parquet",
                digest=f"{self.count:064x}",
                delivered=StoredFile(f"batches/{batch}/delivered.parquet", 9, f"{self.count:064x}"),
                stored=StoredFile(f"batches/{batch}/data.arrow", 9, f"{self.count:064x}"),
                rows=rows,
                columns=COLUMNS,
                received_at=received or moment + 2 * DAY,
                collected_from=moment if collected else None,
                collected_to=moment + DAY if collected else None,
                signature=signature,
            )
        )
        return batch

    def admit(
        self, batch: str, rows: int = 90, *, part: str = "cleared", case: str | None = None
    ) -> int:
        self.version += 1
        self.write(
            events.BatchAdmitted(
                batch=batch,
                dataset=self.dataset,
                version=self.version,
                rows=rows,
                part=part,
                policy=POLICY,
                columns=COLUMNS,
                files=[self.file(batch, rows)],
                **TABLE,
                case=case,
            )
        )
        return self.version

    def file(self, batch: str, rows: int) -> values.DataFile:
        digest = hashlib.sha256(f"{batch} {rows}".encode()).hexdigest()
        path = f"datasets/{self.dataset}/{digest}.parquet"
        return values.DataFile(batch, "cleared", rows, StoredFile(path, 9, digest))

    def snapshot(
        self,
        members: dict[str, int],
        version: int | None = None,
        files: list[values.DataFile] | None = None,
    ) -> int:
        """Takes a snapshot, in the form in which the stage writes it."""
        version = self.version if version is None else version
        if files is None:
            files = [self.file(batch, rows) for batch, rows in members.items()]
        event = events.SnapshotTaken(
            dataset=self.dataset,
            version=version,
            rows=sum(members.values()),
            digest=version_digest(TABLE["schema"], files),
            members=[values.Member(batch, rows) for batch, rows in members.items()],
            files=files,
            batches=len(members),
            **TABLE,
        )
        base = self.taken.get(max((known for known in self.taken if known < version), default=0))
        short = as_differences(event, base)
        there = {file.file.path: file for file in files}
        cost = 0 if base is None or short.since is None else base.cost + cost_of(short)
        self.taken[version] = WholeSnapshot(0, short, there, cost)
        self.write(short)
        return version

    def register(
        self, model: str, version: str, snapshot: int | None = None, *, purpose: str = "train"
    ) -> str:
        self.write(
            events.ModelRegistered(
                model=model,
                version=version,
                registry="mlflow://models:5000",
                dataset=self.dataset,
                snapshot=self.version if snapshot is None else snapshot,
                rows=1000,
                purpose=purpose,
                artifact_uri=None,
                artifact_digest="ef" * 32,
                external_run_id="run-1",
                params={"lr": "0.1"},
                seed=7,
            )
        )
        return f"{model}@{version}"

    def recall(self, members: dict[str, int], models: tuple[str, ...] = ()) -> int:
        self.version += 1
        self.write(
            events.RecordsRecalled(
                recall=f"recall-{self.version}",
                dataset=self.dataset,
                version=self.version,
                records=sum(members.values()),
                ids_digest="12" * 32,
                ids=StoredFile("recalls/r.parquet", 9, "12" * 32),
                criteria={"ids": "12" * 32},
                members=[values.Member(batch, rows) for batch, rows in members.items()],
                models=list(models),
                reason="found late",
                files=[],
                removed=[],
                **TABLE,
            )
        )
        return self.version

    def judge(self, batch: str, held: int = 10, rows: int = 100) -> None:
        self.write(
            events.BatchJudged(
                batch=batch,
                policy=POLICY,
                verdict=Verdict.HOLD_RECORDS if held else Verdict.PASS,
                rows=rows,
                held=held,
                cleared=rows - held,
                case="case-1" if held else None,
                held_records=StoredFile("held/h.parquet", 9, "34" * 32) if held else None,
                columns=values.ColumnRoles("id", "label", ["text"]),
                two_people=False,
                inputs="44" * 32,
                reasons={"mahalanobis": held} if held else {},
            )
        )

    def decide(self, batch: str, action: Action = Action.RELEASE) -> None:
        self.write(
            events.RecordsDecided(
                decision="d-1",
                case="case-1",
                batch=batch,
                action=action,
                records=3,
                ids_digest="56" * 32,
                ids=StoredFile("decisions/d-1.parquet", 9, "58" * 32),
                reason="looked fine",
            )
        )


def one_of_each(history: History) -> None:
    """One entry of every kind of event, with every optional field set in at least one of them."""
    history.write(
        events.SourceRegistered("vendor-a", TrustTier.REVIEWED),
        events.KeyAdded("vendor-a", "k1", "ed25519", "-----BEGIN", START, START + 365 * DAY),
        events.SourceRenamed("vendor-a", "vendor-new", "it was bought"),
        events.KeyRevoked("vendor-a", "k1", START, "stolen"),
        events.DeliveryRefused(
            source="vendor-a",
            uri="https://user:hunter2@files.example/drop/a.parquet?token=s3cr3t",
            code="unknown_key",
            reason="signed by a key that is not the source's",
            signature=Signature(SignatureStatus.UNKNOWN_KEY, key_id="k9"),
            file_digest="78" * 32,
        ),
    )
    batch = history.receive()
    history.write(
        events.ReferenceSaved(
            "digits",
            "2",
            "f0" * 32,
            [StoredFile("references/digits/2/reference.json", 9, "f2" * 32)],
            900,
            "column:pixels",
            "bc" * 32,
            StoredFile("references/digits/2/profile.parquet", 9, "ef" * 32),
            StoredFile("references/digits/2/golden.parquet", 9, "ee" * 32),
        ),
        events.ReferencePromoted(
            "digits", "2", "f0" * 32, "1", "f1" * 32, values.PromotionChange(3, 1, 4, 2)
        ),
        events.BatchValidated(
            batch=batch,
            policy=POLICY,
            contract="contracts:Digits",
            rows=100,
            failing_rows=2,
            rules=[
                values.RuleCount("pixel.range", "pixels", 2, "pixel outside 0..16"),
                values.RuleCount("record_id.unique", None, 0, "unique"),
            ],
            broken=["column label is missing"],
            failures=StoredFile("batches/b/findings.parquet", 9, "9a" * 32),
            inputs="9b" * 32,
        ),
        events.BatchEmbedded(
            batch,
            POLICY,
            "column",
            "bc" * 32,
            64,
            100,
            StoredFile("b/e.parquet", 9, "de" * 32),
            "df" * 32,
        ),
        events.BatchScreened(
            batch=batch,
            policy=POLICY,
            reference="digits",
            reference_version="1",
            reference_digest="f0" * 32,
            verdict=Verdict.HOLD_RECORDS,
            rows=100,
            held=10,
            false_quarantine_rate=0.01,
            min_detectable=5,
            detectors=[
                values.DetectorSummary("mahalanobis", "enforce", 10),
                values.DetectorSummary("knn_label", "shadow", 0),
            ],
            tests=[
                values.TestSummary("mmd", 0.2, 0.001, fired=False, detail="no shift"),
                values.TestSummary("share", None, 0.001, fired=False, detail="not run"),
            ],
            scores=StoredFile("b/scores.parquet", 9, "13" * 32),
            inputs="15" * 32,
            note="a note",
            batch_p_value=0.2,
            evidence=values.BatchEvidence(0.4, 5, 100),
            source_evidence=values.SourceEvidence(
                "16" * 32, 4, 1, [0.1, -0.2], 5, 100, [(-6, 1), (0, 2)], [0.25]
            ),
            drift=values.DriftSummary(
                100,
                3,
                1,
                0,
                0.01,
                [values.ColumnMove("age", "numeric", 0.4, 0.3, 1e-9, "major", 0.0)],
                None,
                StoredFile("b/drift.parquet", 9, "14" * 32),
            ),
            triage=values.TriageSummary("PIPELINE", {"PIPELINE": 0.9}, ["nulls appeared"]),
            smallest=120,
            pool=values.SmallBatchPool(1, [values.PoolMember("acme/17", 3, "17" * 32)]),
        ),
    )
    history.write(
        events.PolicyRegistered("digits", POLICY, "{}", "72" * 32, "73" * 32, "stricter"),
        events.ShadowJudged(
            batch,
            POLICY,
            "73" * 32,
            Verdict.HOLD_RECORDS,
            100,
            7,
            "74" * 32,
            {"mahalanobis": 7},
            ["a note"],
        ),
        events.AdmissionRefused(batch, "digits", "revoked_key", "its key is revoked", "case-1"),
        events.JudgementSetAside(batch, "digits", 9, "case-0", "by the new reference"),
        events.VersionAnnounced("digits", 1, 8),
        events.HoldAnnounced(batch, 8),
        events.CaseAssigned("case-1", batch, "user:ann"),
        events.CaseCommented("case-1", batch, "looks like a seven"),
        events.RevocationOverridden("case-1", batch, ["revoked_key"], "looked at each"),
        events.HeldRecordsRead("case-1", batch, "page", 0, 49, 50, {"label": "3"}),
    )
    history.judge(batch)
    history.decide(batch)
    history.write(
        events.RecordsDecided(
            decision="d-2",
            case="case-1",
            batch=batch,
            action=Action.REWEIGHT,
            records=3,
            ids_digest="57" * 32,
            ids=StoredFile("decisions/d-2.parquet", 9, "59" * 32),
            reason="half",
            filter={"label": "3"},
            label="8",
            weight=0.5,
            undoes="d-1",
        )
    )
    history.admit(batch)
    history.snapshot({batch: 90})
    history.write(
        events.ViewTaken("digits", "1-5e1c0a9b2f3d4e5f", 1, 80, "5d" * 32, 1, ["vendor-a/gone"])
    )
    model = history.register("digits-net", "1")
    history.write(
        events.ModelRegistered(
            model="digits-net",
            version="1",
            registry="mlflow://models:5000",
            dataset=None,
            snapshot=None,
            rows=0,
            purpose="train",
            artifact_uri="s3://models/net.safetensors",
            artifact_digest="ef" * 32,
            recalls=["recall-0"],
            inputs=[
                values.ModelInput(
                    values.InputKind.TABLE, "s3://lake", "prices", "7", values.InputRole.EVAL, 10
                ),
                values.ModelInput(values.InputKind.TABLE, "s3://lake", "names", None),
                values.ModelInput(
                    values.InputKind.MODEL, "hub", "bert", "1", values.InputRole.FINETUNE
                ),
                values.ModelInput(
                    values.InputKind.SNAPSHOT, "", "digits", "1-5e1c0a9b2f3d4e5f", rows=80
                ),
            ],
        ),
        events.ModelAliased(
            "digits-net", "production", "1", "mlflow://models:5000", "passed its tests"
        ),
        events.ModelAliased("digits-net", "canary", None, "mlflow://models:5000", ""),
        events.ModelEvaluated(
            model="digits-net",
            version="1",
            registry="mlflow://models:5000",
            how="torch",
            code="app:load",
            artifact_digest="5e" * 32,
            test_set="7e" * 32,
            rows=360,
            figures={"accuracy": 0.96},
            report=StoredFile("evaluations/report.json", 2, "ab" * 32),
            predictions=StoredFile("evaluations/answers.parquet", 2, "ac" * 32),
        ),
        events.PromotionRefused(
            "digits-net",
            "1",
            "mlflow://models:5000",
            "production",
            [values.RefusedFor("recalled", "it learned from recalled records")],
        ),
        events.DrillRun(
            dataset=history.dataset,
            of_batch="vendor-a/0",
            policy=POLICY,
            seed=0,
            caught_at=0.5,
            attacks=[values.DrilledAttack("flood", [0.1], [1.0], 0.1)],
            clean_held=1,
            rows=100,
            report=StoredFile("drills/report.json", 2, "ad" * 32),
        ),
    )
    history.write(
        events.TrainingSanitized(
            dataset="digits",
            version=history.version,
            model="digits-net@1",
            policy=POLICY,
            methods=["whitened_spectral"],
            layers=["fc1"],
            calibrated=False,
            false_quarantine_rate=0.01,
            rows=90,
            held=4,
            classes=[
                values.ClassSummary("3", 10, 2.5, 0.0001, fired=True, n_held=4),
                values.ClassSummary("4", 10, 0.5, None, fired=False, n_held=0),
            ],
            scores=StoredFile("sanitize/s.parquet", 9, "24" * 32),
        )
    )
    history.recall({batch: 4}, (model,))
    history.snapshot({batch: 86})
    history.admit(batch, 3, part="publication-1", case="case-1")
    history.write(
        events.IncidentTraced(
            source="vendor-a",
            since=START,
            until=START + DAY,
            batches=[batch],
            models=[model],
            complete=False,
            report=[StoredFile("incidents/i/trace.html", 9, "60" * 32)],
        )
    )
    history.write(
        events.DatasetExported("digits", 1, "/exports/digits.parquet", 90, "68" * 32),
        events.LineageAliased(
            "hive://meta:9083", "lake.digits", "s3://lake", "digits", False, "the same table"
        ),
        events.LineageAliased("file", "/a", "file", "/b", True, "they are two"),
        events.ExternalDeclared("hf", "base/net", "1", False, "public weights"),
        events.ExternalDeclared("hf", "base/net", None, True, "it was fine-tuned by us"),
        events.ModelRegistered(
            model="digits-net",
            version="2",
            registry="mlflow://models:5000",
            dataset="digits",
            snapshot=2,
            rows=86,
            purpose="FINE_TUNING",
            recalls=["recall-2"],
            inputs=[
                values.ModelInput(
                    values.InputKind.SNAPSHOT, "", "digits", "1", values.InputRole.EVAL, 90
                ),
                values.ModelInput(values.InputKind.TABLE, "s3://lake", "features", None),
                values.ModelInput(
                    values.InputKind.MODEL, "mlflow://models:5000", "digits-net", "1"
                ),
            ],
        ),
        events.ModelRegistered(
            model="student",
            version="1",
            registry="mlflow://models:5000",
            dataset=None,
            snapshot=None,
            rows=0,
            purpose="TRAINING",
            inputs=[
                values.ModelInput(
                    values.InputKind.MODEL, "mlflow://models:5000", "digits-net", "2"
                ),
            ],
        ),
    )
    asked = values.Question("source", "vendor-a", START, START + DAY)
    report = [StoredFile("incidents/i/trace.json", 9, "67" * 32)]
    answer = values.IncidentAnswer(9, False, [batch], [model], ["digits-net@2"], report)
    history.write(
        events.IncidentOpened("inc-1", "an open bucket", asked, "the vendor wrote", answer),
        events.IncidentAssigned("inc-1", "user:ann"),
        events.IncidentNoted("inc-1", "the vendor confirms it"),
        events.HoldPlaced("inc-1", values.HoldKind.SOURCE, "vendor-a", "until we know more"),
        events.IncidentAnswered("inc-1", replace(answer, complete=True, unknown=[])),
        events.IncidentAnnounced("inc-1", 9),
        events.IncidentAction("inc-1", 3, "68" * 32, "the key that was lost"),
        events.HoldLifted("inc-1", values.HoldKind.SOURCE, "vendor-a", "a new key"),
        events.IncidentClosed("inc-1", "recalled, and trained anew"),
    )
    empty = replace(VERIFIED, envelope=None)
    history.receive("vendor-b", 3, collected=False, signature=empty)
    history.write(
        events.StoredFileChanged(batch, "screen", "batches/b/data.arrow", "61" * 32, "it is gone")
    )
    history.write(events.DatasetChanged("digits", "snapshot", "it ends at version 1"))
    history.write(
        events.PublicationApproved("case-1", batch, "publication-1", 3, 7),
        events.CaseClosed("case-1", batch),
        events.DatasetSetBack(
            "digits",
            2,
            3,
            "68 rows were written around the gate",
            [StoredFile("set-aside/digits/3.json", 700, "66" * 32)],
        ),
        events.DatasetGrown(
            "digits",
            history.version + 1,
            needed_by=batch,
            policy=POLICY,
            columns='{"type":"struct","fields":[]}',
            added=[values.Column("price", "double")],
            **TABLE,
        ),
        events.RowsLost(
            "digits",
            history.version + 2,
            [values.LostPart(batch, "cleared", 68)],
            removed=["datasets/digits/a.parquet"],
            **TABLE,
        ),
        events.CatalogRebuilt({"batch": {"changed": 1, "missing": 0, "added": 2}}),
        events.PayloadDeleted(batch, "held", "case-1", [POLICY], 90, START, ["held/h.parquet"]),
        events.PayloadDeleted(batch, "delivered", None, [POLICY], 90, START, ["batches/b/d.csv"]),
        events.CheckpointTaken(
            origin="urn:lazaretto:ledger:" + "62" * 32,
            size=3,
            root="63" * 32,
            frontier=["64" * 32, "65" * 32],
            verifier_key="gate+01234567+AQ",
            note=StoredFile("ledger/checkpoints/x.txt", 9, "66" * 32),
        ),
    )
