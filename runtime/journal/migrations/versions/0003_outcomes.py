"""The views of what came of decisions, cancels and signals, and the indices that they look up by."""

from alembic import op

from runtime.journal.migrations.views_0003 import views

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_index("ix_cancels_order", "cancels", ["session_id", "client_order_id"])
    op.create_index("ix_cancels_setup", "cancels", ["session_id", "setup_id"])
    for name, query in views(op.get_bind().dialect.name).items():
        op.execute(f"CREATE VIEW {name} AS {query}")
