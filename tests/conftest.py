"""Options and fixtures that all tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import httpx
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


@pytest.fixture(scope="session")
def in_process() -> Callable[[Any], AbstractAsyncContextManager[httpx.AsyncClient]]:
    """``async with in_process(app) as client``: an ASGI application within its lifespan, without a socket."""

    @asynccontextmanager
    async def opened(app: Any) -> AsyncIterator[httpx.AsyncClient]:
        into: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        out: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        task = asyncio.create_task(app({"type": "lifespan", "state": {}}, into.get, out.put))
        await into.put({"type": "lifespan.startup"})
        assert (await out.get())["type"] == "lifespan.startup.complete"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://suite") as client:
            yield client
        await into.put({"type": "lifespan.shutdown"})
        assert (await out.get())["type"] == "lifespan.shutdown.complete"
        await task

    return opened


class Killed(BaseException):
    """Stands for the signal: nothing of ours catches it."""


@pytest.fixture
def killed() -> Callable[[int], AbstractContextManager[None]]:
    """``with killed(n): train()``: the n-th step of any trainer within ends the training, as a kill would."""
    from common.training.loop import Trainer  # torch takes seconds that most tests do not need

    @contextmanager
    def at(number: int) -> Iterator[None]:
        step, count = Trainer._step, 0

        def dies(self: Trainer, *args: Any, **kwargs: Any) -> None:
            nonlocal count
            count += 1
            if count == number:
                raise Killed
            step(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "_step", dies)
            with pytest.raises(Killed):
                yield

    return at
