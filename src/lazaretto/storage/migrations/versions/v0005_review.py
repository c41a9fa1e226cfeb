"""Whose a case is to review, how its records are decided; and a dataset's last batches."""

import sqlalchemy as sa
from alembic import op

from lazaretto.storage.column_types import UtcDateTime

revision = "0005"
down_revision = "0004"
_BEFORE = "0003"  # what the migration of that number wrote as the oldest usable version


def upgrade() -> None:
    op.create_table(
        "case_assignment",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("assignee", sa.String(255), comment="who reviews it; null: nobody in particular"),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column(
            "seq",
            sa.BigInteger(),
            nullable=False,
            comment="ledger entry that this row is the state of",
        ),
        sa.Column("entry", sa.String(64), nullable=False, comment="hash of that entry"),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_case.id"], name=op.f("fk_case_assignment_case_id")
        ),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_case_assignment")),
    )
    op.create_index("ix_case_assignment_assignee", "case_assignment", ["assignee"])
    op.create_index("ix_batch_dataset_seq", "batch", ["dataset", "seq"])
    _count_records()
    _lighten_records()
    # Older code would not keep the counts.
    _require(revision)


def _require(oldest: str) -> None:
    op.execute(sa.text("UPDATE workspace SET usable_from = :oldest").bindparams(oldest=oldest))


_KEYS = {"held_record": ("case_id", "decision"), "decision_record": ("decision",)}
_OF = {"case_id": "review_case", "decision": "decision"}


def _lighten_records() -> None:
    """What the database did for each record that is inserted or decided on, for nothing."""
    op.drop_index("ix_held_record_case_id_record_id", table_name="held_record")
    for table, columns in _KEYS.items():
        with op.batch_alter_table(table) as change:
            for column in columns:
                change.drop_constraint(f"fk_{table}_{column}", type_="foreignkey")


def _count_records() -> None:
    op.create_table(
        "case_count",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="signature of the first reason"),
        sa.Column("action", sa.String(16), nullable=False, comment="in force, or UNDECIDED"),
        sa.Column(
            "records",
            sa.BigInteger(),
            nullable=False,
            comment="held records of the case with both",
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_case.id"], name=op.f("fk_case_count_case_id")
        ),
        sa.PrimaryKeyConstraint("case_id", "reason", "action", name=op.f("pk_case_count")),
    )
    op.execute(
        "INSERT INTO case_count (case_id, reason, action, records) "
        "SELECT case_id, reason, COALESCE(action, 'UNDECIDED'), COUNT(*) FROM held_record "
        "GROUP BY case_id, reason, action"
    )


def downgrade() -> None:
    for table, columns in _KEYS.items():
        with op.batch_alter_table(table) as change:
            for column in columns:
                name = f"fk_{table}_{column}"
                change.create_foreign_key(name, _OF[column], [column], ["id"])
    op.create_index("ix_held_record_case_id_record_id", "held_record", ["case_id", "record_id"])
    _require(_BEFORE)
    op.drop_table("case_count")
    op.drop_index("ix_batch_dataset_seq", "batch")
    op.drop_table("case_assignment")
