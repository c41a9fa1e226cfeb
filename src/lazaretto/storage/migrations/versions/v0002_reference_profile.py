"""References keep what drift is measured by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("reference") as table:
        table.add_column(
            sa.Column(
                "profile_uri", sa.Text(), comment="what drift is measured by; null: fitted without"
            )
        )
        table.add_column(
            sa.Column("profile_digest", sa.String(64), comment="sha256 of the profile's bytes")
        )


def downgrade() -> None:
    with op.batch_alter_table("reference") as table:
        table.drop_column("profile_digest")
        table.drop_column("profile_uri")
