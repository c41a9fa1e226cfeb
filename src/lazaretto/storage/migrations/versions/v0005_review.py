"""Reviews of a million records: cases know how many of their records are decided, and how."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "case_count",
        sa.Column("case_id", sa.String(64)),
        sa.Column("reason", sa.Text(), comment="signature of the first reason"),
        sa.Column("action", sa.String(16), comment="in force, or UNDECIDED"),
        sa.Column(
            "records",
            sa.BigInteger(),
            nullable=False,
            comment="held records of the case with both",
        ),
        sa.PrimaryKeyConstraint("case_id", "reason", "action", name="pk_case_count"),
        sa.ForeignKeyConstraint(["case_id"], ["review_case.id"], name="fk_case_count_case_id"),
    )
    op.execute(
        "INSERT INTO case_count (case_id, reason, action, records) "
        "SELECT case_id, reason, COALESCE(action, 'UNDECIDED'), COUNT(*) FROM held_record "
        "GROUP BY case_id, reason, action"
    )


def downgrade() -> None:
    op.drop_table("case_count")
