"""Every error the suite raises on purpose. Each says who must act and how.

KitharaError
|-- Rejected            the caller must change the request        400
|   |-- Malformed       the body cannot be read at all            400
|   |-- Unknown         no such model, version, tag set ...       404
|   |-- Conflict        it does not fit what is there           409
|   |-- Stale           made for a version that has passed      412
|   |-- TooLarge        over a stated limit                       413
|   |-- Unsupported     a media type that is not taken            415
|   |-- Invalid         readable, but a field is wrong            422
|   |-- Unconditional   an edit must name the version it is for 428
|   `-- TooMany         this caller asks too often                429
|-- Unavailable         wait and ask again                        503
|   |-- QueueFull       refused early, nothing was computed       503
|   |-- NotReady        the model is loading or failed to load    503
|   `-- Draining        the process is going down                 503
|-- DeadlineExceeded    the answer would come too late            504
|-- CallerLeft          nobody waits for the answer               499
|-- BackendFault        the model failed on valid input           502
`-- OperatorError       a command, a file or a setting is wrong   (command line: one line, exit status 2)
"""

from typing import ClassVar, Self

from contracts.problem import FieldError


class KitharaError(Exception):
    """``str(error)`` is one sentence for the person who must act; ``slug`` names the kind for programs."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = (), retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after
        """Seconds after which asking again makes sense; sent as ``Retry-After``, rounded up."""


class Rejected(KitharaError):
    status, slug, title = 400, "rejected", "Request rejected"


class Malformed(Rejected):
    status, slug, title = 400, "malformed", "Body cannot be read"


class Unknown(Rejected):
    status, slug, title = 404, "unknown", "No such resource"


class Conflict(Rejected):
    status, slug, title = 409, "conflict", "Conflict"


class Stale(Rejected):
    status, slug, title = 412, "stale", "Changed in the meantime"


class TooLarge(Rejected):
    status, slug, title = 413, "too-large", "Over a limit"


class Unsupported(Rejected):
    status, slug, title = 415, "unsupported-media-type", "Media type not taken"


class Invalid(Rejected):
    status, slug, title = 422, "invalid", "A field is wrong"

    @classmethod
    def field(cls, name: str, message: str) -> Self:
        """For one field: ``message`` says what is wrong with it and what is right."""
        return cls.fields((FieldError(field=name, message=message),))

    @classmethod
    def fields(cls, errors: tuple[FieldError, ...]) -> Self:
        """For all that is wrong at once."""
        return cls("; ".join(f"{e.field or 'body'}: {e.message}" for e in errors), errors=errors)


class Unconditional(Rejected):
    status, slug, title = 428, "unconditional", "If-Match is missing"


class TooMany(Rejected):
    status, slug, title = 429, "too-many-requests", "Too many requests"


class Unavailable(KitharaError):
    status, slug, title = 503, "unavailable", "Not available now"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = (), retry_after: float | None = 1.0) -> None:
        super().__init__(detail, errors=errors, retry_after=retry_after)


class QueueFull(Unavailable):
    slug, title = "queue-full", "Too busy"


class NotReady(Unavailable):
    slug, title = "not-ready", "Model not ready"


class Draining(Unavailable):
    slug, title = "draining", "Shutting down"


class DeadlineExceeded(KitharaError):
    status, slug, title = 504, "deadline-exceeded", "Deadline exceeded"


class CallerLeft(KitharaError):
    status, slug, title = 499, "caller-left", "Caller left"


class BackendFault(KitharaError):
    status, slug, title = 502, "backend-fault", "Model failed"


class OperatorError(KitharaError):
    """For whoever runs a command or keeps the files: a bad setting, run directory, model repository or data file."""

    slug, title = "operator", "Command failed"
