"""Wider indexes: what the views look up per trade is found, not searched for among all rows of a session."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.drop_index("ix_decisions_setup", "decisions")
    op.create_index(
        "ix_decisions_setup", "decisions", ["session_id", "setup_id", "kind", "seq"], unique=False
    )
    op.drop_index("ix_signals_setup", "signals")
    op.create_index("ix_signals_setup", "signals", ["session_id", "setup_id", "signal_id"], unique=False)
