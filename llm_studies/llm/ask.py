"""The one thing a method needs of a language model, and how it can fail."""

from typing import ClassVar, Protocol

from common.errors import BackendFault, OperatorError, Unavailable
from contracts.llm import ChatRequest, Reply


class Ask(Protocol):
    """Anything that answers a request: the paid client, a journal's replay, a plan that only counts."""

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        """``repeat`` tells samples of one request apart. Raises CallFailed for this call, OperatorError for all."""
        ...


class CallFailed(BackendFault):
    """One call has no answer, after every attempt that its deadline allowed. Others may still have one."""

    slug: ClassVar[str] = "upstream-failed"
    title: ClassVar[str] = "Language model failed"


class Unreachable(CallFailed):
    """No connection to the server, or it broke."""


class RequestRefused(CallFailed):
    """The server will not answer this request, however often it is asked."""


class UpstreamBusy(Unavailable):
    """The upstream server asks to wait longer than the call may last."""

    slug: ClassVar[str] = "upstream-busy"
    title: ClassVar[str] = "Language model busy"


class Missing(OperatorError):
    """A replay needs a reply that was never given."""


class CapReached(OperatorError):
    """The next call could cost more than the study may spend."""
