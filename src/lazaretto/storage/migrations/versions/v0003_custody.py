"""State rows name the ledger entry that they are the state of; the ledger alone names files.

The ledger's hashes cover who acted from here on, so entries of before cannot be carried over. None
was ever made by a release.
"""

import uuid

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0003"
down_revision = "0002"

_DROPPED = {
    "batch": ("columns", "signature"),
    "review_case": ("held_uri",),
    "decision": ("ids_uri",),
    "recall": ("ids_uri",),
    "reference": ("uri", "profile_uri", "profile_digest"),
}
_STATE = ("batch", "review_case", "decision", "admission", "snapshot", "model_version", "recall")
_NEW_STATE = ("source", "source_key", "reference")
_STATE_OF = "ledger entry that this row is the state of"


def _entry(nullable: bool = False) -> sa.Column[str]:
    return sa.Column("entry", sa.String(64), nullable=nullable, comment="hash of that entry")


def _seq() -> sa.Column[int]:
    return sa.Column("seq", sa.BigInteger(), nullable=False, comment=_STATE_OF)


def upgrade() -> None:
    bind = op.get_bind()
    full = (*_STATE, *_NEW_STATE, "dataset", "stage", "ledger")
    if any(bind.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in full):  # noqa: S608
        raise CommandError(
            "this catalog holds entries of a Lazaretto from before the first release, which cannot "
            "be carried over: keep it for reading, and start a new catalog"
        )
    for table, columns in _DROPPED.items():
        with op.batch_alter_table(table) as change:
            for column in columns:
                change.drop_column(column)
    with op.batch_alter_table("dataset") as change:
        change.drop_constraint("uq_dataset_uri", type_="unique")
        change.drop_column("uri")
    with op.batch_alter_table("batch") as change:
        change.alter_column("stored_uri", comment="canonical copy, relative to the store")
        change.alter_column("verdict", comment="of the gate, the newest; null until judged")
        judged = "that the verdict is for; null until judged"
        change.add_column(sa.Column("dataset", sa.String(255), comment=judged))
    with op.batch_alter_table("review_case") as change:
        change.alter_column("state", comment="OPEN, CLOSED, SUPERSEDED")
    with op.batch_alter_table("lineage_node") as change:
        change.alter_column("kind", comment="BATCH, SNAPSHOT, MODEL, RUN")
    op.drop_table("stage")
    with op.batch_alter_table("recall") as change:
        comment = "StoredFile: the recalled records"
        change.add_column(sa.Column("ids", sa.JSON(), nullable=False, comment=comment))
    for table in (*_STATE, *_NEW_STATE):
        with op.batch_alter_table(table) as change:
            if table in _NEW_STATE:
                change.add_column(_seq())
            else:
                change.alter_column("seq", nullable=False, comment=_STATE_OF)
            change.add_column(_entry())
    _datasets()
    with op.batch_alter_table("ledger") as change:
        change.add_column(sa.Column("actor_type", sa.String(16), nullable=False))
        change.add_column(sa.Column("actor_id", sa.String(255), nullable=False))
        about = "what it is about"
        change.add_column(sa.Column("subject", sa.String(512), nullable=False, comment=about))
    op.create_index("ix_ledger_subject_kind_seq", "ledger", ["subject", "kind", "seq"])
    op.create_index("ix_batch_source_seq", "batch", ["source", "seq"])
    holder = "of a lease: who took it; its seq is when it ends"
    op.add_column("projection", sa.Column("holder", sa.String(255), comment=holder))
    says = "sha256 of what it and its contract say"
    op.create_table(
        "dataset_policy",
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column("meaning", sa.String(64), nullable=False, comment=says),
        sa.Column(
            "sha256", sa.String(64), nullable=False, comment="of the file that was registered"
        ),
        _seq(),
        _entry(nullable=False),
        sa.PrimaryKeyConstraint("dataset", name=op.f("pk_dataset_policy")),
    )
    _identity()


def _identity() -> None:
    """One id for this catalog and its store, made with the catalog."""
    oldest = "oldest schema whose code may still work on this catalog"
    made = op.create_table(
        "workspace",
        sa.Column("id", sa.String(32), comment="of this catalog and its store, random"),
        sa.Column("usable_from", sa.String(32), nullable=False, comment=oldest),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspace")),
    )
    op.bulk_insert(made, [{"id": uuid.uuid4().hex, "usable_from": revision}])


def _datasets() -> None:
    """A version is on record before it is in the Delta table, so that nothing is only intended."""
    newest = (
        ("table_id", sa.String(64), "of the Delta table; null until something is admitted"),
        ("version", sa.BigInteger(), "newest Delta version"),
        ("seq", sa.BigInteger(), "ledger entry that made the newest version"),
        ("entry", sa.String(64), "hash of that entry"),
    )
    with op.batch_alter_table("dataset") as change:
        for name, kind, comment in newest:
            change.add_column(sa.Column(name, kind, comment=comment))
    with op.batch_alter_table("admission") as change:
        change.drop_column("intended_at")
        change.alter_column("admitted_at", nullable=False)
        change.alter_column("version", nullable=False, comment="Delta version")
        # What was lost and is admitted again has two versions.
        change.drop_constraint("pk_admission", type_="primary")
        change.create_primary_key("pk_admission", ["dataset", "version"])
    op.create_index("ix_admission_batch", "admission", ["batch"])
    op.create_table(
        "lost_part",
        sa.Column("dataset", sa.String(255)),
        sa.Column("batch", sa.String(512)),
        sa.Column("part", sa.String(64), comment="of the admission whose rows are lost"),
        sa.Column("version", sa.BigInteger(), autoincrement=False, comment="without them"),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _seq(),
        _entry(),
        sa.PrimaryKeyConstraint("dataset", "batch", "part", "version", name="pk_lost_part"),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.name"], name="fk_lost_part_dataset"),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name="fk_lost_part_batch"),
    )
    with op.batch_alter_table("recall") as change:
        change.alter_column("version", nullable=False, comment="Delta version without the records")
    op.drop_table("snapshot_member")


def downgrade() -> None:
    for table in ("dataset_policy", "workspace", "lost_part"):
        op.drop_table(table)
    with op.batch_alter_table("projection") as change:
        change.drop_column("holder")
    op.drop_index("ix_batch_source_seq", table_name="batch")
    op.drop_index("ix_ledger_subject_kind_seq", table_name="ledger")
    with op.batch_alter_table("ledger") as change:
        for column in ("actor_type", "actor_id", "subject"):
            change.drop_column(column)
    _undo_datasets()
    for table in (*_STATE, *_NEW_STATE):
        with op.batch_alter_table(table) as change:
            change.drop_column("entry")
            if table in _NEW_STATE:
                change.drop_column("seq")
    with op.batch_alter_table("recall") as change:
        change.drop_column("ids")
    op.create_table(
        "stage",
        sa.Column("batch", sa.String(512), sa.ForeignKey("batch.id"), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("uri", sa.Text()),
        sa.Column("digest", sa.String(64)),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_stage_batch_name_seq", "stage", ["batch", "name", "seq"])
    with op.batch_alter_table("batch") as change:
        change.drop_column("dataset")
    with op.batch_alter_table("dataset") as change:
        change.add_column(sa.Column("uri", sa.Text(), nullable=False))
        change.create_unique_constraint("uq_dataset_uri", ["uri"])
    for table, columns in _DROPPED.items():
        with op.batch_alter_table(table) as change:
            for column in columns:
                change.add_column(sa.Column(column, sa.Text(), nullable=True))


def _undo_datasets() -> None:
    op.create_table(
        "snapshot_member",
        sa.Column("dataset", sa.String(255), primary_key=True),
        sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("batch", sa.String(512), sa.ForeignKey("batch.id"), primary_key=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
    )
    with op.batch_alter_table("dataset") as change:
        for name in ("table_id", "version", "seq", "entry"):
            change.drop_column(name)
    op.drop_index("ix_admission_batch", table_name="admission")
    with op.batch_alter_table("admission") as change:
        change.drop_constraint("pk_admission", type_="primary")
        change.create_primary_key("pk_admission", ["dataset", "batch", "part"])
        change.add_column(sa.Column("intended_at", sa.DateTime(timezone=True), nullable=True))
