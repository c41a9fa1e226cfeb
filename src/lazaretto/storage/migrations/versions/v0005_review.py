"""Whose a case is to review."""

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


def downgrade() -> None:
    op.drop_table("case_assignment")
