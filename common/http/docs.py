"""The OpenAPI document and a page that shows it and tries it out, all served from this package."""

from collections.abc import Callable
from importlib.resources import files

from litestar import Response, Router, get

from common.errors import Unknown
from common.http.bodies import AnyRequest

FILES = {
    "": ("docs.html", "text/html"),
    "docs.js": ("docs.js", "text/javascript"),
    "docs.css": ("docs.css", "text/css"),
}
POLICY = {"content-security-policy": "default-src 'self'; img-src 'self' blob: data:", "cache-control": "no-cache"}


def routes(document: Callable[[], bytes]) -> Router:
    """``/openapi.json`` and ``/docs``; ``document`` returns the OpenAPI document as JSON."""

    @get("/openapi.json", include_in_schema=False, sync_to_thread=False)
    def openapi() -> Response[bytes]:
        return Response(document(), media_type="application/json")

    @get("/docs", include_in_schema=False, sync_to_thread=False)
    def page() -> Response[bytes]:
        return _static("")

    @get("/docs/{name:str}", include_in_schema=False, sync_to_thread=False)
    def asset(request: AnyRequest) -> Response[bytes]:
        return _static(request.path_params["name"])

    return Router(path="/", route_handlers=[openapi, page, asset])


def _static(name: str) -> Response[bytes]:
    if name not in FILES:
        raise Unknown(f"the documentation has no file {name!r}")
    file, media_type = FILES[name]
    content = (files("common.http") / "static" / file).read_bytes()
    return Response(content, media_type=media_type, headers=POLICY)
