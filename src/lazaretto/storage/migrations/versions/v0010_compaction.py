"""Versions of a dataset whose small data files were put together."""

import sqlalchemy as sa
from alembic import op

from lazaretto.storage.column_types import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "compaction",
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Delta version with the new files",
        ),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="records in the new files"),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column(
            "seq",
            sa.BigInteger(),
            nullable=False,
            comment="ledger entry that this row is the state of",
        ),
        sa.Column("entry", sa.String(64), nullable=False, comment="hash of that entry"),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.name"], name=op.f("fk_compaction_dataset")),
        sa.PrimaryKeyConstraint("dataset", "version", name=op.f("pk_compaction")),
    )
    # Older code would take a file of several batches for a file of one.
    _require(revision)


def downgrade() -> None:
    _require("0008")  # what the migration of that number wrote as the oldest usable version
    op.drop_table("compaction")


def _require(oldest: str) -> None:
    op.execute(sa.text("UPDATE workspace SET usable_from = :oldest").bindparams(oldest=oldest))
