"""The name by which a completion's model was asked for: an alias, or a name that its server answers with a dated one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("completions", sa.Column("asked", sa.LargeBinary))
