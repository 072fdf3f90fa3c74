"""What a domain brings: routes, and resources that live as long as the server."""

import asyncio
from contextlib import asynccontextmanager

import httpx
from litestar import Router, get

from common.http.app import Domain, create_app


def domain(name: str, seen: list[str], fails: bool = False) -> Domain:
    @asynccontextmanager
    async def resource():
        if fails:
            raise OSError("no such resource")
        seen.append(f"{name} opened")
        try:
            yield
        finally:
            seen.append(f"{name} closed")

    @get("/", sync_to_thread=False)
    def show() -> dict[str, list[str]]:
        """What happened so far."""
        return {"seen": seen}

    return Domain(Router(f"/{name}", route_handlers=[show]), (resource(),))


async def run(app, *events: str) -> list[str]:
    """Send lifespan events; the types of what is answered."""
    into, out = asyncio.Queue(), asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, into.get, out.put))
    answers = []
    for event in events:
        await into.put({"type": f"lifespan.{event}"})
        answers.append((await out.get())["type"].removeprefix("lifespan."))
        if event == "startup" and answers[-1] == "startup.complete":
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://suite") as client:
                answers.append(" ".join((await client.get("/one")).json()["seen"]))
    await asyncio.gather(task, return_exceptions=True)
    return answers


async def test_resources_are_open_while_requests_are_answered(suite) -> None:
    made, seen = suite(), []
    app = create_app("Test", [domain("one", seen), domain("two", seen)], made.models, made.settings)
    answers = await run(app, "startup", "shutdown")
    assert answers == ["startup.complete", "one opened two opened", "shutdown.complete"]
    assert seen == ["one opened", "two opened", "two closed", "one closed"]
    assert made.models.stopped == made.settings.drain_seconds


async def test_one_that_cannot_be_opened_ends_the_start_and_closes_the_others(suite) -> None:
    made, seen = suite(), []
    app = create_app("Test", [domain("one", seen), domain("two", seen, fails=True)], made.models, made.settings)
    assert await run(app, "startup") == ["startup.failed"]
    assert seen == ["one opened", "one closed"]
    assert made.models.stopped == made.settings.drain_seconds
