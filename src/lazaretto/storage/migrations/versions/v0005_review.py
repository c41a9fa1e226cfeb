"""Whose a case is to review, and how many of its records are decided, and how."""

import sqlalchemy as sa
from alembic import op

from lazaretto.storage.column_types import UtcDateTime

revision = "0005"
down_revision = "0004"


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
    _count_records()


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
    op.drop_table("case_count")
    op.drop_table("case_assignment")
