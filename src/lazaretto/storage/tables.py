"""The catalog's tables, as one SQLAlchemy metadata. Long: tables refer to each other.

`migrations` brings a database to it.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from lazaretto.storage.column_types import BigId, Id, UtcDateTime, metadata

workspace = Table(
    "workspace",
    metadata,
    Column("id", String(32), primary_key=True, comment="of this catalog and its store, random"),
    Column(
        "usable_from",
        String(32),
        nullable=False,
        comment="oldest schema whose code may still work on this catalog",
    ),
)
source = Table(
    "source",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("trust_tier", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)
source_key = Table(
    "source_key",
    metadata,
    Column("source", ForeignKey("source.name"), primary_key=True),
    Column("key_id", String(128), primary_key=True),
    Column("scheme", String(64), nullable=False),
    Column("public_key", Text, nullable=False, comment="PEM"),
    Column("valid_from", UtcDateTime, nullable=False),
    Column("valid_to", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)

batch = Table(
    "batch",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", ForeignKey("source.name"), nullable=False),
    Column("trust_tier", String(16), nullable=False, comment="of the source when it arrived"),
    Column("digest", String(64), nullable=False, comment="sha256 of the canonical content"),
    Column("file_digest", String(64), nullable=False, comment="sha256 of the delivered bytes"),
    Column("uri", Text, nullable=False, comment="where it was delivered"),
    Column("stored_uri", Text, nullable=False, comment="canonical copy, relative to the store"),
    Column("format", String(16), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("collected_from", UtcDateTime),
    Column("collected_to", UtcDateTime),
    Column("dataset", String(255), comment="that the verdict is for; null until judged"),
    Column("verdict", String(16), comment="of the gate, the newest; null until judged"),
    Column("held", BigInteger),
    Column("cleared", BigInteger),
    Column("case_id", String(64)),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    sa.UniqueConstraint("source", "digest"),
    Index("ix_batch_source_received_at", "source", "received_at"),
    Index("ix_batch_source_seq", "source", "seq"),
    Index("ix_batch_dataset_seq", "dataset", "seq"),
    Index("ix_batch_source_file_digest", "source", "file_digest"),
)
# "case" is a reserved word of SQL.
case = Table(
    "review_case",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("batch", ForeignKey("batch.id"), nullable=False),
    Column("dataset", String(255), nullable=False, comment="where released records go"),
    Column("origin", String(16), nullable=False, comment="gate, or sanitize"),
    Column("verdict", String(16), nullable=False),
    Column("policy", sa.JSON, nullable=False),
    Column("columns", sa.JSON, nullable=False, comment="which column plays which part"),
    Column("two_people", Boolean, nullable=False),
    Column("rows", BigInteger, nullable=False, comment="of the batch"),
    Column("held", BigInteger, nullable=False),
    Column("reasons", sa.JSON, nullable=False, comment="{reason signature: records}"),
    Column(
        "notes",
        sa.JSON,
        nullable=False,
        comment="what is wrong with the batch as a whole, in words",
    ),
    Column("state", String(16), nullable=False, comment="OPEN, CLOSED, SUPERSEDED"),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    Index("ix_review_case_state_opened_at", "state", "opened_at"),
    Index("ix_review_case_batch", "batch"),
)
case_assignment = Table(
    "case_assignment",
    metadata,
    Column("case_id", ForeignKey("review_case.id"), primary_key=True),
    Column("assignee", String(255), comment="who reviews it; null: nobody in particular"),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    Index("ix_case_assignment_assignee", "assignee"),
)
decision = Table(
    "decision",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("case_id", ForeignKey("review_case.id"), nullable=False),
    Column("action", String(16), nullable=False),
    Column("label", Text),
    Column("weight", Float),
    Column("filter", sa.JSON, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("ids_digest", String(64), nullable=False),
    Column("actor_type", String(16), nullable=False),
    Column("actor_id", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("undoes", String(64)),
    Column("undone_by", String(64)),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    Index("ix_decision_case_id_seq", "case_id", "seq"),
)
# Tables of records have no foreign keys: the database would look up the same case and decision for
# each of a million rows. `lazaretto catalog check` compares them with the ledger.
held_record = Table(
    "held_record",
    metadata,
    Column("case_id", String(64), primary_key=True),
    Column("position", BigInteger, primary_key=True, comment="row number within the batch"),
    Column("record_id", Text, nullable=False),
    Column("label", Text),
    Column("score", Float),
    Column("p_value", Float),
    Column("reason", Text, nullable=False, comment="signature of the first reason"),
    Column("decision", String(64), comment="the one in force"),
    Column("action", String(16)),
    Column("part", String(64), comment="publication that admitted it"),
    Index("ix_held_record_case_id_reason", "case_id", "reason"),
)
case_count = Table(
    "case_count",
    metadata,
    Column("case_id", ForeignKey("review_case.id"), primary_key=True),
    Column("reason", Text, primary_key=True, comment="signature of the first reason"),
    Column("action", String(16), primary_key=True, comment="in force, or UNDECIDED"),
    Column("records", BigInteger, nullable=False, comment="held records of the case with both"),
)
decision_record = Table(
    "decision_record",
    metadata,
    Column("decision", String(64), primary_key=True),
    Column("position", BigInteger, primary_key=True),
)

dataset = Table(
    "dataset",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("table_id", String(64), comment="of the Delta table; null until something is admitted"),
    Column("version", BigInteger, comment="newest Delta version"),
    Column("seq", BigInteger, comment="ledger entry that made the newest version"),
    Column("entry", String(64), comment="hash of that entry"),
)
dataset_policy = Table(
    "dataset_policy",
    metadata,
    Column("dataset", String(255), primary_key=True),
    Column("meaning", String(64), nullable=False, comment="sha256 of what it and its contract say"),
    Column("sha256", String(64), nullable=False, comment="of the file that was registered"),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)
admission = Table(
    "admission",
    metadata,
    Column("dataset", ForeignKey("dataset.name"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False, comment="Delta version"),
    Column("batch", ForeignKey("batch.id"), primary_key=True),
    Column("part", String(64), primary_key=True, comment="cleared, or a publication id"),
    Column("rows", BigInteger, nullable=False),
    Column("policy", sa.JSON, nullable=False),
    Column("admitted_at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    Index("ix_admission_batch", "batch"),
)
record_index = Table(
    "record_index",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("dataset", String(255), nullable=False),
    Column("scheme", String(64), nullable=False, comment="sha256 of what of a record is compared"),
    Column("version", BigInteger, nullable=False, comment="of the dataset, that it is complete to"),
    Column("left_out", BigInteger, nullable=False, comment="older records, beyond its bound"),
    sa.UniqueConstraint("dataset", "scheme"),
)
indexed_file = Table(
    "indexed_file",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("index", BigInteger, nullable=False, comment="record_index"),
    Column("path", String(512), nullable=False, comment="data file of the dataset"),
    Column("batch", Id, nullable=False),
    Column("since", BigInteger, nullable=False, comment="version that admitted its rows first"),
    Column("records", BigInteger, nullable=False),
    sa.UniqueConstraint("index", "path"),
)
indexed_record = Table(
    "indexed_record",
    metadata,
    Column("file", BigInteger, primary_key=True, comment="indexed_file"),
    Column("number", BigInteger, primary_key=True, comment="row of the file"),
    Column("high", BigInteger, comment="first half of the key of its content"),
    Column("low", BigInteger, comment="second half"),
    Column("record", Text, nullable=False, comment="its id"),
    Column("sketch", sa.LargeBinary, comment="of its text; null: none is compared"),
    Index("ix_indexed_record_high", "high"),
    sqlite_with_rowid=False,
)
indexed_band = Table(
    "indexed_band",
    metadata,
    Column("index", BigInteger, primary_key=True, comment="record_index"),
    Column("band", BigInteger, primary_key=True, comment="of a sketch"),
    Column("file", BigInteger, nullable=False, comment="of the first record that has it"),
    Column("number", BigInteger, nullable=False),
    Index("ix_indexed_band_file", "file"),
    sqlite_with_rowid=False,
)
RECORD_INDEX = ("record_index", "indexed_file", "indexed_record", "indexed_band")
"""Tables of the index of a dataset's records; they follow from its data files."""

lost_part = Table(
    "lost_part",
    metadata,
    Column("dataset", ForeignKey("dataset.name"), primary_key=True),
    Column("batch", ForeignKey("batch.id"), primary_key=True),
    Column("part", String(64), primary_key=True, comment="of the admission whose rows are lost"),
    Column("version", BigInteger, primary_key=True, autoincrement=False, comment="without them"),
    Column("rows", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)

compaction = Table(
    "compaction",
    metadata,
    Column("dataset", ForeignKey("dataset.name"), primary_key=True),
    Column(
        "version",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Delta version with the new files",
    ),
    Column("rows", BigInteger, nullable=False, comment="records in the new files"),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("dataset", ForeignKey("dataset.name"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("rows", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)

training_view = Table(
    "training_view",
    metadata,
    Column("dataset", String(255), primary_key=True),
    Column("view", String(64), primary_key=True, comment="id: the version and what is left out"),
    Column("version", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    sa.ForeignKeyConstraint(["dataset", "version"], ["snapshot.dataset", "snapshot.version"]),
)
model_version = Table(
    "model_version",
    metadata,
    Column("registry", String(255), primary_key=True),
    Column("model", String(255), primary_key=True),
    Column("version", String(255), primary_key=True),
    Column("dataset", String(255), comment="of the first snapshot; null: there is none"),
    Column("snapshot", BigInteger),
    Column("rows", BigInteger, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("artifact_uri", Text),
    Column("artifact_digest", String(64)),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that registered it first"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    sa.ForeignKeyConstraint(["dataset", "snapshot"], ["snapshot.dataset", "snapshot.version"]),
    Index("ix_model_version_model_version", "model", "version"),
    Index("ix_model_version_seq", "seq"),
)
_MODEL_KEY = ["model_version.registry", "model_version.model", "model_version.version"]
model_input = Table(
    "model_input",
    metadata,
    Column("registry", String(255), primary_key=True),
    Column("model", String(255), primary_key=True),
    Column("version", String(255), primary_key=True),
    Column("input", String(64), primary_key=True, comment="sha256 of what makes it the same input"),
    Column("kind", String(16), nullable=False, comment="SNAPSHOT, TABLE, MODEL"),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("of_version", Text, comment="of the input; null: not known"),
    Column("role", String(16), nullable=False, comment="how it was used"),
    Column("rows", BigInteger, comment="records read; null: not known"),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that named it first"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    sa.ForeignKeyConstraint(["registry", "model", "version"], _MODEL_KEY),
    Index(
        "ix_model_input_name",
        "name",
        sqlite_where=sa.text("kind = 'SNAPSHOT'"),
        postgresql_where=sa.text("kind = 'SNAPSHOT'"),
    ),
)
model_alias = Table(
    "model_alias",
    metadata,
    Column("registry", String(255), primary_key=True),
    Column("model", String(255), primary_key=True),
    Column("alias", String(255), primary_key=True),
    Column("version", String(255), comment="that it stands for; null: for none any more"),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    sa.ForeignKeyConstraint(["registry", "model", "version"], _MODEL_KEY),
)
recall = Table(
    "recall",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("dataset", ForeignKey("dataset.name"), nullable=False),
    Column("criteria", sa.JSON, nullable=False),
    Column("version", BigInteger, nullable=False, comment="Delta version without the records"),
    Column("records", BigInteger, nullable=False),
    Column("ids_digest", String(64), nullable=False),
    Column("ids", sa.JSON, nullable=False, comment="StoredFile: the recalled records"),
    Column("actor_type", String(16), nullable=False),
    Column("actor_id", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)
recalled_model = Table(
    "recalled_model",
    metadata,
    Column("recall", ForeignKey("recall.id"), primary_key=True),
    Column("registry", String(255), primary_key=True),
    Column("model", String(255), primary_key=True),
    Column("version", String(255), primary_key=True),
    sa.ForeignKeyConstraint(["registry", "model", "version"], _MODEL_KEY),
)

reference = Table(
    "reference",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("promoted", Boolean, nullable=False, comment="the version that a bare name means"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)

incident = Table(
    "incident",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("title", String(255), nullable=False),
    Column("kind", String(16), nullable=False, comment="of the question: source, batch, ..."),
    Column("subject", Text, nullable=False, comment="what is asked about"),
    Column("since", UtcDateTime, comment="start of the window of a source"),
    Column("until", UtcDateTime, comment="end of it"),
    Column("state", String(16), nullable=False, comment="OPEN, CLOSED"),
    Column("assignee", String(255), comment="who handles it; null: nobody in particular"),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
    Index("ix_incident_state_seq", "state", "seq"),
)
incident_hold = Table(
    "incident_hold",
    metadata,
    Column("incident", ForeignKey("incident.id"), primary_key=True),
    Column("what", String(16), primary_key=True, comment="SOURCE, PUBLISHING, PROMOTION"),
    Column("name", String(255), primary_key=True, comment="source, dataset or model"),
    Column("in_force", Boolean, nullable=False),
    Column("reason", Text, nullable=False, comment="why it was placed, or lifted"),
    Column("at", UtcDateTime, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="ledger entry that this row is the state of"),
    Column("entry", String(64), nullable=False, comment="hash of that entry"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("seq", BigId, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False, comment="ISO 8601, as hashed"),
    Column("kind", String(32), nullable=False),
    Column("actor_type", String(16), nullable=False),
    Column("actor_id", String(255), nullable=False),
    Column("subject", String(512), nullable=False, comment="what it is about"),
    Column("payload", Text, nullable=False, comment="canonical JSON (RFC 8785), as hashed"),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Index("ix_ledger_kind_seq", "kind", "seq"),
    Index("ix_ledger_subject_kind_seq", "subject", "kind", "seq"),
)
ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", sa.Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
projection = Table(
    "projection",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=False, comment="last ledger entry it has seen"),
    Column("holder", String(255), comment="of a lease: who took it; its seq is when it ends"),
)

lineage_node = Table(
    "lineage_node",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", String(255), nullable=False),
    Column("kind", String(16), nullable=False, comment="BATCH, SNAPSHOT, MODEL"),
    Column("source", String(255)),
    Column("t_from", UtcDateTime, comment="start of what a batch collected"),
    Column("t_to", UtcDateTime),
    Column("received_at", UtcDateTime),
    Column("signature", String(16)),
    Column("digest", String(128)),
    Column("rows", BigInteger),
    Column("first_seq", BigInteger),
    sa.UniqueConstraint("namespace", "name", "version"),
    Index("ix_lineage_node_source_kind_t_from", "source", "kind", "t_from"),
)
lineage_edge = Table(
    "lineage_edge",
    metadata,
    Column("src", ForeignKey("lineage_node.id"), primary_key=True),
    Column("dst", ForeignKey("lineage_node.id"), primary_key=True),
    Column("run", String(64), primary_key=True),
    Column("role", String(32), nullable=False),
    Column("rows", BigInteger),
    Index("ix_lineage_edge_dst_src", "dst", "src"),
    sqlite_with_rowid=False,
)

# What other tools claim. `lineage_claim` is kept as it came; the rest is computed from it and from
# the ledger by `lazaretto.lineage.claims`, and the same set of claims gives the same rows. Moments
# in the computed tables are microseconds since 1970.
lineage_claim = Table(
    "lineage_claim",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True, comment="sha256 of the body"),
    Column("run", String(64), nullable=False, comment="OpenLineage run id"),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("taken_from", String(255), comment="who sent it; null: it was read from a file"),
    Column("body", Text, nullable=False, comment="what of the event counts, canonical JSON"),
    Index("ix_lineage_claim_run", "run"),
)
lineage_name = Table(
    "lineage_name",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("types", Integer, nullable=False, comment="what events say that it is, as bits"),
    Column("same_as", BigInteger, nullable=False, comment="first id of those that are the same"),
    Column("stale", Boolean, nullable=False, comment="what follows from it must be computed anew"),
    sa.UniqueConstraint("namespace", "name"),
    Index("ix_lineage_name_same_as", "same_as"),
    Index(
        "ix_lineage_name_stale",
        "stale",
        sqlite_where=sa.text("stale"),
        postgresql_where=sa.text("stale"),
    ),
)
lineage_same = Table(
    "lineage_same",
    metadata,
    Column("one", BigInteger, primary_key=True, comment="lineage_name"),
    Column("other", BigInteger, primary_key=True, comment="lineage_name"),
    sqlite_with_rowid=False,
)
lineage_run = Table(
    "lineage_run",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("run", String(64), nullable=False, unique=True),
    Column("namespace", Text, nullable=False, comment="of the job"),
    Column("job", Text, nullable=False),
    Column("producer", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False, comment="its first event"),
    Column("ended_at", BigInteger, nullable=False, comment="its last event"),
    Column("finished_at", BigInteger, comment="the last of those that end it"),
    Column("states", Integer, nullable=False, comment="of its events, as bits"),
    Column("reads", Boolean, nullable=False, comment="it named an input that it learned from"),
    Column("writes", Boolean, nullable=False, comment="it named an output"),
    Column("purpose", String(16), nullable=False),
    Index("ix_lineage_run_namespace_producer", "namespace", "producer"),
    Index(
        "ix_lineage_run_starts",
        "namespace",
        "producer",
        sqlite_where=sa.text("states % 2 = 1"),
        postgresql_where=sa.text("states % 2 = 1"),
    ),
)
lineage_version = Table(
    "lineage_version",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", BigInteger, nullable=False, comment="lineage_name"),
    Column("version", String(255), nullable=False),
    Column("kinds", Integer, nullable=False, comment="what events say that it is, as bits"),
    Column("first_at", BigInteger, nullable=False, comment="first mention"),
    Column("last_at", BigInteger, nullable=False, comment="last mention"),
    Column("written", Boolean, nullable=False, comment="a run is known that made it"),
    Column("source", String(255)),
    Column("t_from", BigInteger),
    Column("t_to", BigInteger),
    Column("received_at", BigInteger),
    Column("digest", String(128)),
    Column("rows", BigInteger),
    sa.UniqueConstraint("name", "version"),
    Index("ix_lineage_version_source", "source"),
)
# Ends of a link: a version is twice its id, a run twice its id and one.
lineage_link = Table(
    "lineage_link",
    metadata,
    Column("src", BigInteger, primary_key=True),
    Column("dst", BigInteger, primary_key=True),
    Column("owner", BigInteger, primary_key=True, comment="0: events; lineage_name: it follows"),
    Column("basis", Integer, nullable=False, comment="0 known, 1 inferred, 2 possible"),
    Column("why", Integer, nullable=False, comment="rule that it follows from"),
    Index("ix_lineage_link_dst", "dst"),
    Index("ix_lineage_link_owner", "owner"),
    sqlite_with_rowid=False,
)
lineage_access = Table(
    "lineage_access",
    metadata,
    Column("name", BigInteger, primary_key=True, comment="lineage_name"),
    Column("run", BigInteger, primary_key=True, comment="lineage_run"),
    Column("writes", Boolean, primary_key=True),
    Column("version", BigInteger, primary_key=True, comment="lineage_version; 0: none is named"),
    Column("modes", Integer, nullable=False, comment="how it was written, as bits"),
    Column("renamed_from", BigInteger, comment="lineage_name"),
    Column("role", String(16), nullable=False, comment="how it was used"),
    Index("ix_lineage_access_run", "run"),
    Index("ix_lineage_access_renamed_from", "renamed_from"),
    sqlite_with_rowid=False,
)
lineage_gap = Table(
    "lineage_gap",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("node", BigInteger, nullable=False, comment="end of links that it hides the origin of"),
    Column("kind", String(32), nullable=False),
    Column(
        "owner", BigInteger, nullable=False, comment="lineage_name that it follows from; 0: run"
    ),
    Column("until", BigInteger, comment="what came later cannot be in it; null: anything can"),
    sa.UniqueConstraint("node", "kind", "owner"),
    Index("ix_lineage_gap_owner", "owner"),
)

LINEAGE = (
    "lineage_node",
    "lineage_edge",
    "lineage_claim",
    "lineage_name",
    "lineage_same",
    "lineage_run",
    "lineage_version",
    "lineage_link",
    "lineage_access",
    "lineage_gap",
)
"""Tables of the lineage index and of what other tools claim."""
