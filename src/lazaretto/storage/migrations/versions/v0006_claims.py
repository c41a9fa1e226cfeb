"""What other tools claim, kept as it came, and the graph that follows from it."""

import sqlalchemy as sa
from alembic import op

from lazaretto.storage.column_types import BigId, UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "lineage_claim",
        sa.Column("id", BigId, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, comment="sha256 of the body"),
        sa.Column("run", sa.String(64), nullable=False, comment="OpenLineage run id"),
        sa.Column("taken_at", UtcDateTime(), nullable=False),
        sa.Column(
            "taken_from", sa.String(255), comment="who sent it; null: it was read from a file"
        ),
        sa.Column(
            "body", sa.Text(), nullable=False, comment="what of the event counts, canonical JSON"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lineage_claim")),
        sa.UniqueConstraint("digest", name=op.f("uq_lineage_claim_digest")),
    )
    op.create_index("ix_lineage_claim_run", "lineage_claim", ["run"])
    op.create_table(
        "lineage_name",
        sa.Column("id", BigId, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "types", sa.Integer(), nullable=False, comment="what events say that it is, as bits"
        ),
        sa.Column(
            "same_as",
            sa.BigInteger(),
            nullable=False,
            comment="first id of those that are the same",
        ),
        sa.Column(
            "stale",
            sa.Boolean(),
            nullable=False,
            comment="what follows from it must be computed anew",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lineage_name")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_lineage_name_namespace_name")),
    )
    op.create_index("ix_lineage_name_same_as", "lineage_name", ["same_as"])
    op.create_index(
        "ix_lineage_name_stale",
        "lineage_name",
        ["stale"],
        sqlite_where=sa.text("stale"),
        postgresql_where=sa.text("stale"),
    )
    op.create_table(
        "lineage_same",
        sa.Column("one", sa.BigInteger(), nullable=False, comment="lineage_name"),
        sa.Column("other", sa.BigInteger(), nullable=False, comment="lineage_name"),
        sa.PrimaryKeyConstraint("one", "other", name=op.f("pk_lineage_same")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lineage_run",
        sa.Column("id", BigId, nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False, comment="of the job"),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False, comment="its first event"),
        sa.Column("ended_at", sa.BigInteger(), nullable=False, comment="its last event"),
        sa.Column("finished_at", sa.BigInteger(), comment="the last of those that end it"),
        sa.Column("states", sa.Integer(), nullable=False, comment="of its events, as bits"),
        sa.Column(
            "reads", sa.Boolean(), nullable=False, comment="it named an input that it learned from"
        ),
        sa.Column("writes", sa.Boolean(), nullable=False, comment="it named an output"),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lineage_run")),
        sa.UniqueConstraint("run", name=op.f("uq_lineage_run_run")),
    )
    op.create_index("ix_lineage_run_namespace_producer", "lineage_run", ["namespace", "producer"])
    op.create_index(
        "ix_lineage_run_starts",
        "lineage_run",
        ["namespace", "producer"],
        sqlite_where=sa.text("states % 2 = 1"),
        postgresql_where=sa.text("states % 2 = 1"),
    )
    op.create_table(
        "lineage_version",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.BigInteger(), nullable=False, comment="lineage_name"),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column(
            "kinds", sa.Integer(), nullable=False, comment="what events say that it is, as bits"
        ),
        sa.Column("first_at", sa.BigInteger(), nullable=False, comment="first mention"),
        sa.Column("last_at", sa.BigInteger(), nullable=False, comment="last mention"),
        sa.Column("written", sa.Boolean(), nullable=False, comment="a run is known that made it"),
        sa.Column("source", sa.String(255)),
        sa.Column("t_from", sa.BigInteger()),
        sa.Column("t_to", sa.BigInteger()),
        sa.Column("received_at", sa.BigInteger()),
        sa.Column("digest", sa.String(128)),
        sa.Column("rows", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lineage_version")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_lineage_version_name_version")),
    )
    op.create_index("ix_lineage_version_source", "lineage_version", ["source"])
    op.create_table(
        "lineage_link",
        sa.Column("src", sa.BigInteger(), nullable=False),
        sa.Column("dst", sa.BigInteger(), nullable=False),
        sa.Column(
            "owner", sa.BigInteger(), nullable=False, comment="0: events; lineage_name: it follows"
        ),
        sa.Column("basis", sa.Integer(), nullable=False, comment="0 known, 1 inferred, 2 possible"),
        sa.Column("why", sa.Integer(), nullable=False, comment="rule that it follows from"),
        sa.PrimaryKeyConstraint("src", "dst", "owner", name=op.f("pk_lineage_link")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_lineage_link_dst", "lineage_link", ["dst"])
    op.create_index("ix_lineage_link_owner", "lineage_link", ["owner"])
    op.create_table(
        "lineage_access",
        sa.Column("name", sa.BigInteger(), nullable=False, comment="lineage_name"),
        sa.Column("run", sa.BigInteger(), nullable=False, comment="lineage_run"),
        sa.Column("writes", sa.Boolean(), nullable=False),
        sa.Column(
            "version", sa.BigInteger(), nullable=False, comment="lineage_version; 0: none is named"
        ),
        sa.Column("modes", sa.Integer(), nullable=False, comment="how it was written, as bits"),
        sa.Column("renamed_from", sa.BigInteger(), comment="lineage_name"),
        sa.Column("role", sa.String(16), nullable=False, comment="how it was used"),
        sa.PrimaryKeyConstraint("name", "run", "writes", "version", name=op.f("pk_lineage_access")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_lineage_access_renamed_from", "lineage_access", ["renamed_from"])
    op.create_index("ix_lineage_access_run", "lineage_access", ["run"])
    op.create_table(
        "lineage_gap",
        sa.Column("id", BigId, nullable=False),
        sa.Column(
            "node",
            sa.BigInteger(),
            nullable=False,
            comment="end of links that it hides the origin of",
        ),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column(
            "owner",
            sa.BigInteger(),
            nullable=False,
            comment="lineage_name that it follows from; 0: run",
        ),
        sa.Column(
            "until", sa.BigInteger(), comment="what came later cannot be in it; null: anything can"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lineage_gap")),
        sa.UniqueConstraint("node", "kind", "owner", name=op.f("uq_lineage_gap_node_kind_owner")),
    )
    op.create_index("ix_lineage_gap_owner", "lineage_gap", ["owner"])
    _index_anew()
    op.drop_column("lineage_edge", "inferred")
    _comment("BATCH, SNAPSHOT, MODEL")
    # Older code would write others' claims where nothing looks for them any more.
    _require(revision)


def downgrade() -> None:
    _require(down_revision)
    _index_anew()
    _comment("BATCH, SNAPSHOT, MODEL, RUN")
    op.add_column(
        "lineage_edge",
        sa.Column("inferred", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.drop_table("lineage_gap")
    op.drop_table("lineage_access")
    op.drop_table("lineage_link")
    op.drop_table("lineage_version")
    op.drop_table("lineage_run")
    op.drop_table("lineage_same")
    op.drop_table("lineage_name")
    op.drop_table("lineage_claim")


def _comment(kinds: str) -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column("lineage_node", "kind", comment=kinds)


def _require(oldest: str) -> None:
    op.execute(sa.text("UPDATE workspace SET usable_from = :oldest").bindparams(oldest=oldest))


def _index_anew() -> None:
    """The ledger's part of the index is told in other words: it is made anew from the ledger."""
    op.execute("DELETE FROM lineage_edge")
    op.execute("DELETE FROM lineage_node")
    op.execute("DELETE FROM projection WHERE name = 'index'")
