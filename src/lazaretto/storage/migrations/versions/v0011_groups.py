"""Several batches may enter a dataset with one version."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    _key("dataset", "version", "batch", "part")
    # Older code would take a version for that of its last batch alone.
    _require(revision)


def downgrade() -> None:
    _require("0010")
    _key("dataset", "version")  # fails where a version has several batches: nothing is lost


def _key(*columns: str) -> None:
    with op.batch_alter_table("admission") as table:
        table.drop_constraint("pk_admission", type_="primary")
        table.create_primary_key("pk_admission", list(columns))


def _require(oldest: str) -> None:
    op.execute(sa.text("UPDATE workspace SET usable_from = :oldest").bindparams(oldest=oldest))
