"""The index of a dataset's records, by which copies are found."""

import sqlalchemy as sa
from alembic import op

from lazaretto.storage.column_types import BigId, Id

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # Older code works on: it neither reads the index nor has to write it.
    op.create_table(
        "record_index",
        sa.Column("id", BigId, nullable=False),
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column(
            "scheme",
            sa.String(64),
            nullable=False,
            comment="sha256 of what of a record is compared",
        ),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="of the dataset, that it is complete to",
        ),
        sa.Column(
            "left_out", sa.BigInteger(), nullable=False, comment="older records, beyond its bound"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_index")),
        sa.UniqueConstraint("dataset", "scheme", name=op.f("uq_record_index_dataset_scheme")),
    )
    op.create_table(
        "indexed_file",
        sa.Column("id", BigId, nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False, comment="record_index"),
        sa.Column("path", sa.String(512), nullable=False, comment="data file of the dataset"),
        sa.Column("batch", Id, nullable=False),
        sa.Column(
            "since", sa.BigInteger(), nullable=False, comment="version that admitted its rows first"
        ),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indexed_file")),
        sa.UniqueConstraint("index", "path", name=op.f("uq_indexed_file_index_path")),
    )
    op.create_table(
        "indexed_record",
        sa.Column("file", sa.BigInteger(), nullable=False, comment="indexed_file"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="row of the file"),
        sa.Column("high", sa.BigInteger(), comment="first half of the key of its content"),
        sa.Column("low", sa.BigInteger(), comment="second half"),
        sa.Column("record", sa.Text(), nullable=False, comment="its id"),
        sa.Column("sketch", sa.LargeBinary(), comment="of its text; null: none is compared"),
        sa.PrimaryKeyConstraint("file", "number", name=op.f("pk_indexed_record")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_indexed_record_high", "indexed_record", ["high"])
    op.create_table(
        "indexed_band",
        sa.Column("index", sa.BigInteger(), nullable=False, comment="record_index"),
        sa.Column("band", sa.BigInteger(), nullable=False, comment="of a sketch"),
        sa.Column(
            "file", sa.BigInteger(), nullable=False, comment="of the first record that has it"
        ),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("index", "band", name=op.f("pk_indexed_band")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_indexed_band_file", "indexed_band", ["file"])


def downgrade() -> None:
    op.drop_index("ix_indexed_band_file", "indexed_band")
    op.drop_table("indexed_band")
    op.drop_index("ix_indexed_record_high", "indexed_record")
    op.drop_table("indexed_record")
    op.drop_table("indexed_file")
    op.drop_table("record_index")
