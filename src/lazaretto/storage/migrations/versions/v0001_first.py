"""Everything that Lazaretto 0.1 needs. Long: a migration is never changed, so never split."""

import sqlalchemy as sa
from alembic import op

from lazaretto.storage.column_types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_dataset")),
        sa.UniqueConstraint("uri", name=op.f("uq_dataset_uri")),
    )
    op.create_table(
        "ledger",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at", sa.String(length=32), nullable=False, comment="ISO 8601, as hashed"),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column(
            "payload", sa.Text(), nullable=False, comment="canonical JSON (RFC 8785), as hashed"
        ),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger")),
        sa.UniqueConstraint("hash", name=op.f("uq_ledger_hash")),
    )
    op.create_index("ix_ledger_kind_seq", "ledger", ["kind", "seq"], unique=False)
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "lineage_node",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="BATCH, SNAPSHOT, MODEL"),
        sa.Column("source", sa.String(length=255), nullable=True),
        sa.Column(
            "t_from", UtcDateTime(), nullable=True, comment="start of what a batch collected"
        ),
        sa.Column("t_to", UtcDateTime(), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=True),
        sa.Column("signature", sa.String(length=16), nullable=True),
        sa.Column("digest", sa.String(length=128), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("first_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lineage_node")),
        sa.UniqueConstraint(
            "namespace", "name", "version", name=op.f("uq_lineage_node_namespace_name_version")
        ),
    )
    op.create_index(
        "ix_lineage_node_source_kind_t_from",
        "lineage_node",
        ["source", "kind", "t_from"],
        unique=False,
    )
    op.create_table(
        "projection",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="last ledger entry it has seen"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projection")),
    )
    op.create_table(
        "reference",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column(
            "promoted", sa.Boolean(), nullable=False, comment="the version that a bare name means"
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_reference")),
    )
    op.create_table(
        "source",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("trust_tier", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_source")),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.String(length=512), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column(
            "trust_tier",
            sa.String(length=16),
            nullable=False,
            comment="of the source when it arrived",
        ),
        sa.Column(
            "digest",
            sa.String(length=64),
            nullable=False,
            comment="sha256 of the canonical content",
        ),
        sa.Column(
            "file_digest",
            sa.String(length=64),
            nullable=False,
            comment="sha256 of the delivered bytes",
        ),
        sa.Column("uri", sa.Text(), nullable=False, comment="where it was delivered"),
        sa.Column("stored_uri", sa.Text(), nullable=False, comment="the immutable copy"),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False, comment="[{name, type}]"),
        sa.Column("signature", sa.JSON(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("collected_from", UtcDateTime(), nullable=True),
        sa.Column("collected_to", UtcDateTime(), nullable=True),
        sa.Column(
            "verdict", sa.String(length=16), nullable=True, comment="of the gate; null until judged"
        ),
        sa.Column("held", sa.BigInteger(), nullable=True),
        sa.Column("cleared", sa.BigInteger(), nullable=True),
        sa.Column("case_id", sa.String(length=64), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="ledger entry of the receipt"),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_batch_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("source", "digest", name=op.f("uq_batch_source_digest")),
    )
    op.create_index("ix_batch_source_received_at", "batch", ["source", "received_at"], unique=False)
    op.create_table(
        "lineage_edge",
        sa.Column("src", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dst", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("inferred", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["dst"], ["lineage_node.id"], name=op.f("fk_lineage_edge_dst")),
        sa.ForeignKeyConstraint(["src"], ["lineage_node.id"], name=op.f("fk_lineage_edge_src")),
        sa.PrimaryKeyConstraint("src", "dst", "run", name=op.f("pk_lineage_edge")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_lineage_edge_dst_src", "lineage_edge", ["dst", "src"], unique=False)
    op.create_table(
        "recall",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("dataset", sa.String(length=255), nullable=False),
        sa.Column("criteria", sa.JSON(), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=True,
            comment="Delta version without the records; null while only intended",
        ),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("ids_digest", sa.String(length=64), nullable=False),
        sa.Column("ids_uri", sa.Text(), nullable=False),
        sa.Column("actor_type", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.name"], name=op.f("fk_recall_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recall")),
    )
    op.create_table(
        "snapshot",
        sa.Column("dataset", sa.String(length=255), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.name"], name=op.f("fk_snapshot_dataset")),
        sa.PrimaryKeyConstraint("dataset", "version", name=op.f("pk_snapshot")),
    )
    op.create_table(
        "source_key",
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("key_id", sa.String(length=128), nullable=False),
        sa.Column("scheme", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False, comment="PEM"),
        sa.Column("valid_from", UtcDateTime(), nullable=False),
        sa.Column("valid_to", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source"], ["source.name"], name=op.f("fk_source_key_source")),
        sa.PrimaryKeyConstraint("source", "key_id", name=op.f("pk_source_key")),
    )
    op.create_table(
        "admission",
        sa.Column("dataset", sa.String(length=255), nullable=False),
        sa.Column("batch", sa.String(length=512), nullable=False),
        sa.Column(
            "part", sa.String(length=64), nullable=False, comment="cleared, or a publication id"
        ),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=True,
            comment="Delta version; null while only intended, or when no row qualified",
        ),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("intended_at", UtcDateTime(), nullable=False),
        sa.Column("admitted_at", UtcDateTime(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_admission_batch")),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.name"], name=op.f("fk_admission_dataset")),
        sa.PrimaryKeyConstraint("dataset", "batch", "part", name=op.f("pk_admission")),
    )
    op.create_table(
        "model_version",
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("registry", sa.String(length=255), nullable=False),
        sa.Column("dataset", sa.String(length=255), nullable=False),
        sa.Column("snapshot", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("artifact_uri", sa.Text(), nullable=True),
        sa.Column("artifact_digest", sa.String(length=64), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset", "snapshot"],
            ["snapshot.dataset", "snapshot.version"],
            name=op.f("fk_model_version_dataset_snapshot"),
        ),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("pk_model_version")),
    )
    op.create_table(
        "review_case",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("batch", sa.String(length=512), nullable=False),
        sa.Column(
            "dataset", sa.String(length=255), nullable=False, comment="where released records go"
        ),
        sa.Column("origin", sa.String(length=16), nullable=False, comment="gate, or sanitize"),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False, comment="which column plays which part"),
        sa.Column("two_people", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="of the batch"),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False, comment="{reason signature: records}"),
        sa.Column(
            "notes",
            sa.JSON(),
            nullable=False,
            comment="what is wrong with the batch as a whole, in words",
        ),
        sa.Column("held_uri", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="OPEN, CLOSED"),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_review_case_batch")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_case")),
    )
    op.create_index("ix_review_case_batch", "review_case", ["batch"], unique=False)
    op.create_index(
        "ix_review_case_state_opened_at", "review_case", ["state", "opened_at"], unique=False
    )
    op.create_table(
        "snapshot_member",
        sa.Column("dataset", sa.String(length=255), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("batch", sa.String(length=512), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_snapshot_member_batch")),
        sa.ForeignKeyConstraint(
            ["dataset", "version"],
            ["snapshot.dataset", "snapshot.version"],
            name=op.f("fk_snapshot_member_dataset_version"),
        ),
        sa.PrimaryKeyConstraint("dataset", "version", "batch", name=op.f("pk_snapshot_member")),
    )
    op.create_index("ix_snapshot_member_batch", "snapshot_member", ["batch"], unique=False)
    op.create_table(
        "stage",
        sa.Column("batch", sa.String(length=512), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column(
            "key",
            sa.String(length=64),
            nullable=False,
            comment="sha256 of everything the result depends on",
        ),
        sa.Column("uri", sa.Text(), nullable=True, comment="side-car"),
        sa.Column("digest", sa.String(length=64), nullable=True, comment="sha256 of the side-car"),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name=op.f("fk_stage_batch")),
        sa.PrimaryKeyConstraint("batch", "name", "key", name=op.f("pk_stage")),
    )
    op.create_index("ix_stage_batch_name_seq", "stage", ["batch", "name", "seq"], unique=False)
    op.create_table(
        "decision",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("weight", sa.Float(), nullable=True),
        sa.Column("filter", sa.JSON(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("ids_digest", sa.String(length=64), nullable=False),
        sa.Column("ids_uri", sa.Text(), nullable=False),
        sa.Column("actor_type", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("undoes", sa.String(length=64), nullable=True),
        sa.Column("undone_by", sa.String(length=64), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["review_case.id"], name=op.f("fk_decision_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index("ix_decision_case_id_seq", "decision", ["case_id", "seq"], unique=False)
    op.create_table(
        "recalled_model",
        sa.Column("recall", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["model_version.model", "model_version.version"],
            name=op.f("fk_recalled_model_model_version"),
        ),
        sa.ForeignKeyConstraint(["recall"], ["recall.id"], name=op.f("fk_recalled_model_recall")),
        sa.PrimaryKeyConstraint("recall", "model", "version", name=op.f("pk_recalled_model")),
    )
    op.create_table(
        "decision_record",
        sa.Column("decision", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision"], ["decision.id"], name=op.f("fk_decision_record_decision")
        ),
        sa.PrimaryKeyConstraint("decision", "position", name=op.f("pk_decision_record")),
    )
    op.create_table(
        "held_record",
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column(
            "position", sa.BigInteger(), nullable=False, comment="row number within the batch"
        ),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False, comment="signature of the first reason"),
        sa.Column("decision", sa.String(length=64), nullable=True, comment="the one in force"),
        sa.Column("action", sa.String(length=16), nullable=True),
        sa.Column(
            "part", sa.String(length=64), nullable=True, comment="publication that admitted it"
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_case.id"], name=op.f("fk_held_record_case_id")
        ),
        sa.ForeignKeyConstraint(
            ["decision"], ["decision.id"], name=op.f("fk_held_record_decision")
        ),
        sa.PrimaryKeyConstraint("case_id", "position", name=op.f("pk_held_record")),
    )
    op.create_index(
        "ix_held_record_case_id_reason", "held_record", ["case_id", "reason"], unique=False
    )
    op.create_index(
        "ix_held_record_case_id_record_id", "held_record", ["case_id", "record_id"], unique=False
    )


def downgrade() -> None:
    for name in (
        "held_record",
        "decision_record",
        "recalled_model",
        "decision",
        "stage",
        "snapshot_member",
        "review_case",
        "model_version",
        "admission",
        "source_key",
        "snapshot",
        "recall",
        "lineage_edge",
        "batch",
        "source",
        "reference",
        "projection",
        "lineage_node",
        "ledger_head",
        "ledger",
        "dataset",
    ):
        op.drop_table(name)
