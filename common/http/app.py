"""The application: the domains' routers, what every composition has, and the shell around all."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from litestar import Litestar, Request, Response, Router
from litestar.exceptions import HTTPException
from litestar.response.base import ASGIResponse

from common.http import docs, health, openapi, problems
from common.http.admission import Gate
from common.http.exchange import exchange
from common.http.oip import OpenInference
from common.http.shell import App
from common.http.telemetry import Telemetry
from common.runtime.models import Models
from common.settings import Settings


class TimedResponse(Response[Any]):
    """Litestar's response; the time to encode it becomes part of ``Server-Timing``."""

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **options: Any) -> ASGIResponse:
        """Encode and take the time."""
        started = time.perf_counter()
        response = super().to_asgi_response(app, request, **options)
        exchange(request).call.timing.encode += time.perf_counter() - started
        return response


class Domain(NamedTuple):
    """What a domain package serves: its ``app.routes(models, settings)``."""

    router: Router
    resources: tuple[AbstractAsyncContextManager[Any], ...] = ()
    """Opened before the first request, closed after the last."""


def create_app(title: str, domains: Sequence[Domain], models: Models, settings: Settings) -> App:
    """An ASGI application that serves ``domains`` beside health, metrics, documentation and ``/v2``.

    It starts ``models`` and opens the domains' resources when the server starts, and ends both when it ends.
    """
    gate = Gate(settings.in_flight, settings.rate_limit)
    telemetry = Telemetry(gate, models, settings.access_log)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            await models.start()
            try:
                for resource in (one for domain in domains for one in domain.resources):
                    await resources.enter_async_context(resource)
                yield
            finally:
                await models.stop(settings.drain_seconds)
                telemetry.flush()

    common = health.routes(models, gate, telemetry)
    app = Litestar(
        route_handlers=[*(domain.router for domain in domains), common, docs.routes(lambda: document)],
        lifespan=[lifespan],
        exception_handlers={HTTPException: problems.respond, Exception: problems.respond},
        response_class=TimedResponse,
        request_max_body_size=settings.json_bytes,
        openapi_config=None,
        logging_config=None,
    )
    document = openapi.render(title, app)
    return App(app, OpenInference(models, settings.tensor_bytes), gate, telemetry, settings.deadline, document)
