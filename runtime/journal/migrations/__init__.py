"""Migrations of the journal, run by Alembic."""
