"""Tag sets in a database: SQLite in a file, or PostgreSQL. Every edit is one transaction and one more version."""

from music_fewshot.tag_sets.store.address import default_url
from music_fewshot.tag_sets.store.rows import Header
from music_fewshot.tag_sets.store.store import Store

__all__ = ["Header", "Store", "default_url"]
