"""JSON log lines on stderr: ours, uvicorn's and every library's, each with the id of the request it belongs to."""

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import msgspec
import structlog

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that the running task answers; empty outside of requests."""

_encoder = msgspec.json.Encoder(enc_hook=repr)


def add_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: ``request_id`` of the running request, unless the line names one."""
    if request_id := REQUEST_ID.get():
        event.setdefault("request_id", request_id)
    return event


def configure(level: str = "info") -> None:
    """Send every log line of the process, structlog's and the standard library's, through one JSON writer."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_encode)],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=lambda *args, **kw: _encode(*args, **kw).decode()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(least)


def _encode(event: MutableMapping[str, Any], **_: Any) -> bytes:
    return _encoder.encode(event)
