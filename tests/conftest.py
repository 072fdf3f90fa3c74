"""Options and fixtures that all tests share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Snapshots are rewritten only on demand."""
    parser.addoption("--update-snapshots", action="store_true", help="write the contract snapshots anew")
