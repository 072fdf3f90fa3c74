"""``OPTIONS`` of a path that several handlers share."""

from litestar import Response
from litestar.enums import HttpMethod, MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_204_NO_CONTENT


def allowing(path: str, *methods: str) -> HTTPRouteHandler:
    """Names these methods in ``Allow``; to be registered before the handlers of ``path``.

    Litestar makes such a handler itself, of the first handler of a path: it names no method that is added later.
    """
    allow = ", ".join(sorted((*methods, "OPTIONS")))

    def options() -> Response[None]:
        return Response(None, status_code=HTTP_204_NO_CONTENT, headers={"allow": allow}, media_type=MediaType.TEXT)

    declare = HTTPRouteHandler(path, http_method=HttpMethod.OPTIONS, include_in_schema=False, sync_to_thread=False)
    return declare(options)
