"""A delivery that was received before is found by its bytes without reading all of its source."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_batch_source_file_digest", "batch", ["source", "file_digest"])


def downgrade() -> None:
    op.drop_index("ix_batch_source_file_digest", table_name="batch")
