"""The versions of the tables that this code knows, oldest first; told without importing Alembic."""

REVISIONS = ("0001",)
VERSION_TABLE = "tag_set_schema"
"""Not Alembic's usual name: the database may be shared with another program that uses Alembic."""
