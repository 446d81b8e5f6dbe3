"""One tree of errors. Raised deep down, translated once: to a status code before the first byte,
to a ``RUN_ERROR`` event after it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class CopilotKitError(Exception):
    """Base class of everything this package raises on purpose.

    ``str(error)`` is a sentence of ours that may be shown to the caller. ``error`` is the value of
    the ``error`` key of the JSON answer, ``status`` its HTTP status.
    """

    error: ClassVar[str] = "internal_error"
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    #: Response headers that belong to this answer.
    headers: Mapping[str, str] = {}

    def body(self) -> dict[str, Any]:
        """The JSON answer."""
        return {"error": self.error, "message": str(self)}


class NotFound(CopilotKitError):
    """No such route, or nothing of that name for this caller."""

    error = "Not found"
    status = HTTPStatus.NOT_FOUND

    def body(self) -> dict[str, Any]:
        return {"error": self.error}


class MethodNotAllowed(CopilotKitError):
    """The route exists, for another HTTP method."""

    error = "Method not allowed"
    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, *allowed: str) -> None:
        super().__init__(f"Allowed: {', '.join(allowed)}")
        self.headers = {"Allow": ", ".join(allowed)}

    def body(self) -> dict[str, Any]:
        return {"error": self.error}


class AgentNotFound(CopilotKitError):
    """The caller named an agent that is not registered for them."""

    error = "Agent not found"
    status = HTTPStatus.NOT_FOUND

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"Agent '{agent_id}' does not exist")


class InvalidBody(CopilotKitError):
    """A run, connect or suggest body is not a RunAgentInput. The text says where and what."""

    error = "Invalid request body"
    status = HTTPStatus.BAD_REQUEST

    def body(self) -> dict[str, Any]:
        return {"error": self.error, "details": str(self)}


class BadRequest(CopilotKitError):
    """A small body is malformed; the text is the protocol's own."""

    status = HTTPStatus.BAD_REQUEST

    def body(self) -> dict[str, Any]:
        return {"error": str(self)}


class InvalidRequest(CopilotKitError):
    """The single-route envelope, or the form of a request, is wrong."""

    error = "invalid_request"
    status = HTTPStatus.BAD_REQUEST


class UnsupportedMediaType(InvalidRequest):
    """The envelope is not JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class BodyTooLarge(CopilotKitError):
    """The body passes MAX_BODY_BYTES."""

    error = "body_too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Unauthenticated(CopilotKitError):
    """Nobody is signed in and the project wants somebody to be."""

    error = "unauthenticated"
    status = HTTPStatus.UNAUTHORIZED


class CrossOriginRefused(CopilotKitError):
    """A request carries our cookies but does not come from a page we trust."""

    error = "csrf_failed"
    status = HTTPStatus.FORBIDDEN


class Unsupported(CopilotKitError):
    """The configured runner or service does not offer this operation."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def body(self) -> dict[str, Any]:
        return {"error": str(self)}


class AsgiRequired(CopilotKitError):
    """A run needs an event loop that outlives the request, so it needs an ASGI server."""

    error = "asgi_required"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class ThreadBusy(CopilotKitError):
    """Another run holds the thread.

    The protocol has no status for it: the caller is answered 200 with one ``RUN_ERROR`` whose
    ``code`` is ``THREAD_BUSY``, the only form the official client shows.
    """

    error = "THREAD_BUSY"
    status = HTTPStatus.CONFLICT

    def __init__(self) -> None:
        super().__init__("This conversation is still busy with another run.")


class RateLimited(CopilotKitError):
    """The caller has asked too often. See RATE_LIMITS."""

    error = "rate_limited"
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, seconds: int) -> None:
        unit = "second" if seconds == 1 else "seconds"
        super().__init__(f"Too many requests. Try again in {seconds} {unit}.")
        self.headers = {"Retry-After": str(seconds)}


class TooManyRuns(CopilotKitError):
    """The caller has as many live runs as one may have. See CONCURRENT_RUNS_PER_OWNER."""

    error = "too_many_runs"
    status = HTTPStatus.TOO_MANY_REQUESTS
    headers: Mapping[str, str] = {"Retry-After": "5"}

    def __init__(self, limit: int) -> None:
        runs = "run is" if limit == 1 else "runs are"
        super().__init__(f"{limit} {runs} as many as you may have at a time. Wait for one to end.")


class BudgetSpent(CopilotKitError):
    """The caller has used as many tokens as they may for now. See TOKEN_BUDGETS."""

    error = "token_budget_spent"
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, tokens: int, seconds: int) -> None:
        super().__init__(
            f"You have used the {tokens:,} tokens you may use for now. Try again in "
            f"{_in_words(seconds)}."
        )
        self.headers = {"Retry-After": str(seconds)}


class TooManyMessages(CopilotKitError):
    """The input holds more messages than MAX_MESSAGES."""

    error = "too_many_messages"
    status = HTTPStatus.BAD_REQUEST

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This conversation has more than {limit} messages. Begin a new one to go on."
        )


class TooManyAttachments(CopilotKitError):
    """There are more attachments than MAX_ATTACHMENTS_PER_MESSAGE or ..._PER_RUN allow."""

    error = "too_many_attachments"
    status = HTTPStatus.BAD_REQUEST

    def __init__(self, limit: int, of_what: str) -> None:
        files = "one file" if limit == 1 else f"{limit} files"
        super().__init__(f"{of_what} may have {files} attached, not more.")


class AttachmentTooLarge(CopilotKitError):
    """An attachment passes MAX_ATTACHMENT_BYTES."""

    error = "attachment_too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"An attached file may have {limit} bytes, not more.")


class StoreDown(CopilotKitError):
    """The database does not answer, or takes no writes. Coming back later may help."""

    error = "store_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers: Mapping[str, str] = {"Retry-After": "5"}

    def __init__(self) -> None:
        super().__init__("Conversations cannot be stored at the moment. Try again soon.")


class OperationFailed(CopilotKitError):
    """A handler failed for a reason of somebody else's code.

    ``error`` is the fixed text the protocol has for the route; the message is the foreign text only
    where EXPOSE_ERROR_TEXT allows it.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self._error = error

    def body(self) -> dict[str, Any]:
        return {"error": self._error, "message": str(self)}


class ToolError(CopilotKitError):
    """Raise it in a tool to tell the model what is wrong, in words that may be shown to anybody.

    Of any other exception the model learns only that there was one.
    """

    error = "tool_error"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


def _in_words(seconds: int) -> str:
    """A time that is to pass, in its largest unit, rounded up."""
    units = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
    unit, size = next((unit for unit in units if seconds >= unit[1]), units[-1])
    count = -(-seconds // size)
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
