"""Run by Alembic. The caller holds the lock and the transaction, and hands its connection in."""

from alembic import context

from music_fewshot.tag_sets.store.revisions import VERSION_TABLE
from music_fewshot.tag_sets.store.tables import Base

# Batches: SQLite alters a table by making it anew.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
