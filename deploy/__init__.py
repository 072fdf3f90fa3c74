"""The composition root: the one app, the command line, benches, deployment."""

from pathlib import Path

SHIPPED = Path(__file__).parent / "models"
"""The starter models that come with the suite."""
