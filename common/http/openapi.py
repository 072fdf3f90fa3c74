"""The OpenAPI document, written from the routes and msgspec's own schemas of the contracts."""

import inspect
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from common.http import oip
from common.http.bodies import FORM, JSON, TAKES, Described
from common.http.conditions import CONDITIONAL
from common.http.events import EVENT_STREAM, STREAMS
from contracts._base import Record
from contracts.examples import EXAMPLES
from contracts.oip import (
    IndexEntry,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    OipError,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from contracts.problem import PROBLEM_MEDIA_TYPE, Problem

ALSO = "also"
"""Key of a route's ``opt``: further answers, a Struct (None: no body) by status, which are not problems."""
REFUSES = "refuses"
"""Key of a route's ``opt``: further statuses of problems."""
BODILESS = (204, 304)
REFERENCE = "#/components/schemas/{name}"
TEXT = "text/plain"
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
LICENCE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
ABOUT = """Every route takes two headers. `x-request-id` (letters, digits and `._:-`, at most 128) names the request in
answers, problems and logs. `x-timeout-ms` gives it up after so many milliseconds (504)."""
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The `ETag` of the version that the request is for, or `*` for any.",
    "schema": {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,17}")$'},
}
PROBLEMS = {
    400: "The request cannot be read.",
    404: "No such resource.",
    409: "It does not fit what is there; the text says what to change.",
    412: "Changed in the meantime: read it again.",
    413: "The body is over a stated limit.",
    415: "The media type is not taken.",
    422: "A field is wrong; `errors` names it.",
    428: "`If-Match` is missing.",
    429: "This client asks too often; `Retry-After` says when to ask again.",
    500: "The service failed.",
    502: "The model failed on valid input.",
    503: "Busy, not ready or going down; `Retry-After` says when to ask again.",
    504: "The deadline passed.",
}


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    name: str
    text: str
    tag: str
    takes: Described | None
    answers: dict[int, Any]
    media: str
    error: type[Record]
    events: dict[str, type[Record]] = {}
    """Struct by name, where the route can also answer with server-sent events."""
    refuses: tuple[int, ...] = ()
    """Statuses of problems that only this operation and its like answer with."""
    conditional: bool = False
    """Needs ``If-Match``."""


def render(title: str, app: Litestar) -> bytes:
    """The document as JSON."""
    # Litestar keeps the handlers of one path in the order of their addresses.
    operations = sorted([*_of_litestar(app), *_of_oip()], key=lambda operation: (operation.path, operation.method))
    schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": title, "description": ABOUT, "version": version("kithara"), "license": LICENCE},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _of_litestar(app: Litestar) -> Iterator[Operation]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            if handler.resolve_include_in_schema():
                yield from _of_handler(route.path_format, handler)


def _of_handler(path: str, handler: HTTPRouteHandler) -> Iterator[Operation]:
    answer = handler.parsed_fn_signature.return_type.annotation
    if get_origin(answer) is not None and issubclass(get_origin(answer), Response):
        answer = get_args(answer)[0]
    for method in sorted(handler.http_methods):
        yield Operation(
            method=method,
            path=path,
            name=handler.handler_name.rpartition(".")[2],
            text="\n\n".join(filter(None, [handler.summary, inspect.getdoc(handler.fn)])),
            tag=next(iter(handler.resolve_tags()), "service"),
            takes=handler.opt.get(TAKES),
            answers={handler.status_code: answer, **handler.opt.get(ALSO, {})},
            media=JSON if _is_json(answer) else getattr(handler.media_type, "value", handler.media_type) or TEXT,
            error=Problem,
            events=handler.opt.get(STREAMS, {}),
            refuses=handler.opt.get(REFUSES, ()),
            conditional=CONDITIONAL in handler.opt,
        )


def _of_oip() -> Iterator[Operation]:
    answers: dict[Any, dict[int, Any]] = {
        oip.OpenInference.server: {200: ServerMetadata},
        oip.OpenInference.live: {200: ServerLive},
        oip.OpenInference.ready: {200: ServerReady, 503: ServerReady},
        oip.OpenInference.index: {200: list[IndexEntry]},
        oip.OpenInference.load: {200: ModelReady},
        oip.OpenInference.metadata: {200: ModelMetadata},
        oip.OpenInference.model_ready: {200: ModelReady},
        oip.OpenInference.infer: {200: InferResponse},
    }
    for route in oip.ROUTES:
        infers = route.handler is oip.OpenInference.infer
        yield Operation(
            method=route.method,
            path=route.template,
            name=f"oip_{route.handler.__name__}" + ("_version" if "{model_version}" in route.template else ""),
            text=inspect.getdoc(route.handler) or "",
            tag="open inference protocol",
            takes=Described(None, {JSON: InferRequest}) if infers else None,
            answers=answers[route.handler],
            media=JSON,
            error=OipError,
        )


def _is_json(answer: Any) -> bool:
    return answer not in (str, bytes)


def _types(operation: Operation) -> Iterator[Any]:
    yield operation.error
    yield from operation.events.values()
    yield from (answer for answer in operation.answers.values() if _is_json(answer))
    if operation.takes:
        bodies = [body for media, body in operation.takes.body.items() if media != FORM or operation.takes.json_part]
        yield from (kind for kind in bodies if kind is not None)


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    kinds = list(dict.fromkeys(kind for operation in operations for kind in _types(operation)))
    schemas = msgspec.json.schema_components(kinds, ref_template=REFERENCE)[1]
    for example in EXAMPLES:
        if (schema := schemas.get(type(example).__name__)) is not None:
            schema["examples"] = [example]
    return schemas


def _schema(kind: Any) -> dict[str, Any]:
    return msgspec.json.schema_components([kind], ref_template=REFERENCE)[0][0]


def _fields(options: type[Record]) -> tuple[dict[str, Any], list[str]]:
    """Properties of a Struct, and the names of those that are required."""
    schema = msgspec.json.schema_components([options], ref_template=REFERENCE)[1][options.__name__]
    return schema["properties"], schema["required"]


def _describe(operation: Operation) -> dict[str, Any]:
    summary, _, rest = operation.text.partition("\n\n")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": " ".join(summary.split()).rstrip("."),
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if rest:
        described["description"] = rest
    if operation.takes and operation.takes.body:
        content = {media: _content(operation.takes, media, kind) for media, kind in operation.takes.body.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _content(takes: Described, media: str, kind: type[Record] | None) -> dict[str, Any]:
    if kind is None:
        return {"schema": BINARY}
    if media != FORM:
        return {"schema": _schema(kind)}
    if takes.json_part:
        properties, required = {takes.json_part: _schema(kind)}, [takes.json_part]
    else:
        properties, required = _fields(kind)
    files = {takes.file_part: BINARY} if takes.file_part else {}
    raw = ", ".join(m for m, k in takes.body.items() if k is None)
    encoding = {name: {"contentType": raw} for name in files}
    return {
        "schema": {
            "type": "object",
            "properties": {**files, **properties},
            "required": [*files, *required],
            "additionalProperties": BINARY | {"description": ", ".join(takes.files)} if takes.files else False,
        },
        "encoding": encoding | ({takes.json_part: {"contentType": JSON}} if takes.json_part else {}),
    }


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1].partition(":")[0] for part in operation.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    if operation.takes and operation.takes.query:
        properties, required = _fields(operation.takes.query)
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in properties.items()
        ]
    if operation.conditional:
        parameters.append(IF_MATCH)
    return parameters


def _events(operation: Operation) -> dict[str, Any]:
    """The other form of the answer. Before OpenAPI 3.2 the schema of an event stream is that of one event."""
    if not operation.events:
        return {}
    events = {**operation.events, "problem": operation.error}
    return {EVENT_STREAM: {"schema": {"oneOf": [_event(name, kind) for name, kind in events.items()]}}}


def _event(name: str, kind: type[Record]) -> dict[str, Any]:
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": _schema(kind)}
    return {"type": "object", "properties": {"event": {"const": name}, "data": data}, "required": ["event", "data"]}


def _responses(operation: Operation) -> dict[str, Any]:
    statuses = {400, 429, 500, 503}
    if "{" in operation.path or operation.takes:
        statuses |= {404}
    if operation.takes and operation.takes.body:
        statuses |= {413, 502, 504} | ({415, 422} if operation.error is Problem else set())
    elif operation.takes:
        statuses |= {422}
    statuses |= set(operation.refuses) | ({412, 422, 428} if operation.conditional else set())
    media = PROBLEM_MEDIA_TYPE if operation.error is Problem else JSON
    responses: dict[str, Any] = {}
    for status, answer in operation.answers.items():
        if status in BODILESS:
            responses[str(status)] = {"description": "Nothing more to say."}
            continue
        text = {"type": "string"} if operation.media == TEXT else BINARY
        schema = _schema(answer) if _is_json(answer) else text
        content = {operation.media: {"schema": schema}} | (_events(operation) if status < 300 else {})
        responses[str(status)] = {"description": "The answer.", "content": content}
    for status in sorted(statuses - set(operation.answers)):
        content = {media: {"schema": _schema(operation.error)}}
        responses[str(status)] = {"description": PROBLEMS[status], "content": content}
    return responses
