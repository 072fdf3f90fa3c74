"""Options and fixtures that all tests share."""

from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Snapshots are rewritten only on demand."""
    parser.addoption("--update-snapshots", action="store_true", help="write the contract snapshots anew")


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test starts keeps its tag sets where those of whoever runs the tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        patch.delenv("KITHARA_DATABASE", raising=False)
        yield
