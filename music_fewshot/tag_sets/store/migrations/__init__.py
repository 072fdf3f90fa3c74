"""Alembic's environment (``env.py``) and the versions of the tables. Nothing here is imported unless tables change."""
