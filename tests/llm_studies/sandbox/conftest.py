"""Both isolations; bubblewrap only where it works."""

from collections.abc import Iterator

import pytest

from llm_studies.sandbox import bubblewrap
from llm_studies.sandbox.limits import Limits
from llm_studies.sandbox.run import Sandbox


@pytest.fixture(scope="session", params=["bubblewrap", "rlimits"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "bubblewrap" and not bubblewrap.works():
        pytest.skip("bubblewrap does not work here: install it, and allow user namespaces")
    found = Sandbox(Limits(cpu=1, wall=4), request.param)
    yield found
    found.close()
