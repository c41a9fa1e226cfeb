"""Incidents, and what is on hold for them."""

import sqlalchemy as sa
from alembic import op

from lazaretto.storage.column_types import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column(
            "kind", sa.String(16), nullable=False, comment="of the question: source, batch, ..."
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="what is asked about"),
        sa.Column("since", UtcDateTime(), comment="start of the window of a source"),
        sa.Column("until", UtcDateTime(), comment="end of it"),
        sa.Column("state", sa.String(16), nullable=False, comment="OPEN, CLOSED"),
        sa.Column("assignee", sa.String(255), comment="who handles it; null: nobody in particular"),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        *_of_an_entry(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    op.create_index("ix_incident_state_seq", "incident", ["state", "seq"])
    op.create_table(
        "incident_hold",
        sa.Column("incident", sa.String(64), nullable=False),
        sa.Column("what", sa.String(16), nullable=False, comment="SOURCE, PUBLISHING, PROMOTION"),
        sa.Column("name", sa.String(255), nullable=False, comment="source, dataset or model"),
        sa.Column("in_force", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it was placed, or lifted"),
        sa.Column("at", UtcDateTime(), nullable=False),
        *_of_an_entry(),
        sa.ForeignKeyConstraint(
            ["incident"], ["incident.id"], name=op.f("fk_incident_hold_incident")
        ),
        sa.PrimaryKeyConstraint("incident", "what", "name", name=op.f("pk_incident_hold")),
    )
    # Older code would admit what is on hold.
    _require(revision)


def downgrade() -> None:
    _require(down_revision)
    op.drop_table("incident_hold")
    op.drop_index("ix_incident_state_seq", "incident")
    op.drop_table("incident")


def _of_an_entry() -> tuple[sa.Column[int], sa.Column[str]]:
    return (
        sa.Column(
            "seq",
            sa.BigInteger(),
            nullable=False,
            comment="ledger entry that this row is the state of",
        ),
        sa.Column("entry", sa.String(64), nullable=False, comment="hash of that entry"),
    )


def _require(oldest: str) -> None:
    op.execute(sa.text("UPDATE workspace SET usable_from = :oldest").bindparams(oldest=oldest))
