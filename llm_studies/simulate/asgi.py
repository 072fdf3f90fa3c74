"""As much of ASGI as the simulated server needs, including an answer that breaks off."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

JSON, EVENTS = b"application/json", b"text/event-stream"


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    kind: bytes = JSON
    sent: int | None = None
    """Bytes of the body after which the connection breaks; none: it does not."""


async def lifespan(receive: Receive, send: Send) -> None:
    """There is nothing to open or close."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    pieces = []
    while (event := await receive())["type"] == "http.request":
        pieces.append(event.get("body", b""))
        if not event.get("more_body"):
            break
    return b"".join(pieces)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send it. A server closes the connection of an application that returns before the body is whole."""
    length = (b"content-length", str(len(answer.body)).encode())
    headers = [(b"content-type", answer.kind), length, *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    broken = answer.sent is not None
    await send({"type": "http.response.body", "body": answer.body[: answer.sent], "more_body": broken})
