"""Calling a tool: checked, in its place, limited in time, explained, recorded."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.http import Http404
from django.utils.functional import Promise
from pydantic_core import PydanticSerializationError, to_json

from copilotkit_django.agents.tools.approval import ApprovalRequired
from copilotkit_django.agents.tools.records import record
from copilotkit_django.agents.tools.results import ToolResult
from copilotkit_django.agents.tools.threads import in_thread
from copilotkit_django.agents.tools.tool import unwrapped
from copilotkit_django.exceptions import CopilotKitError, ToolError
from copilotkit_django.incidents import scrub

if TYPE_CHECKING:
    from copilotkit_django.agents.tools.context import ToolContext
    from copilotkit_django.agents.tools.tool import Tool

#: What became of a call, in a word, and what the model is told.
Outcome = tuple[str, ToolResult]


async def is_allowed(tool: Tool, user: Any) -> bool:
    """Whether the user has the permissions of the tool; an anonymous one never has any."""
    return not tool.permissions or await in_thread(_allows, tool, user)


def _allows(tool: Tool, user: Any) -> bool:
    if not tool.permissions:
        return True
    has_perm = getattr(user, "has_perm", None)
    return (
        has_perm is not None
        and bool(getattr(user, "is_authenticated", False))
        and all(has_perm(permission) for permission in tool.permissions)
    )


async def call(tool: Tool, arguments: Any, context: ToolContext) -> ToolResult:
    """`Tool.call`."""
    began = time.monotonic()
    outcome = "cancelled"
    try:
        outcome, result = await _call(tool, arguments, context)
        return result
    except ApprovalRequired as required:
        outcome = "approval"
        required.tool, required.tool_call_id = tool.name, context.tool_call_id
        raise
    finally:
        context.over = True
        record(tool, arguments, context, outcome, time.monotonic() - began)


async def _call(tool: Tool, arguments: Any, context: ToolContext) -> Outcome:
    try:
        values = tool.validate(arguments)
    except ToolError as error:
        return "invalid", ToolResult(str(error), error=True)
    except Exception as error:
        # Of a validator of the project's own, which Pydantic lets pass.
        return _explain(error, context)
    try:
        async with asyncio.timeout(tool.timeout):
            if inspect.iscoroutinefunction(unwrapped(tool.function)):
                return await _in_loop(tool, values, context)
            result = await in_thread(_in_thread, tool, values, context)
            return result if isinstance(result, tuple) else await _settle(result, context)
    except TimeoutError:
        # Only the limit above: what the tool raises is explained where it was called.
        return "timeout", ToolResult(
            f"{tool.name} took longer than {tool.timeout:g} s and was given up. "
            "Some of what it was to do may be done.",
            error=True,
        )
    except RuntimeError as error:
        # There are no more threads to be had.
        return _explain(error, context)


async def _in_loop(tool: Tool, values: dict[str, Any], context: ToolContext) -> Outcome:
    try:
        if not await is_allowed(tool, context.user):
            return _denied(tool)
        if question := _question(tool, values, context):
            message: Any = question
            if inspect.iscoroutinefunction(unwrapped(tool.approval_message)):
                message = message(**values)
            elif callable(question):
                # It may ask the database.
                message = await in_thread(_ask, question, values, context)
            if isinstance(message, tuple):
                return message
            raise ApprovalRequired(await message if inspect.isawaitable(message) else message)
        coroutine = _bound(tool, tool.function, context)(**values)
    except ApprovalRequired:
        raise
    except (Exception, SystemExit) as error:
        return _explain(error, context)
    return await _settle(coroutine, context)


async def _settle(awaitable: Awaitable[Any], context: ToolContext) -> Outcome:
    try:
        return "ok", ToolResult(content_of(await awaitable))
    except ApprovalRequired:
        raise
    except (Exception, SystemExit) as error:
        return _explain(error, context)


def _ask(question: Callable[..., Any], values: dict[str, Any], context: ToolContext) -> Any:
    """The question of a function, or what the model is told instead."""
    try:
        return question(**values)
    except ApprovalRequired:
        raise
    except (Exception, SystemExit) as error:
        return _explain(error, context)


async def _asked(message: Awaitable[str]) -> None:
    raise ApprovalRequired(await message)


def _in_thread(tool: Tool, values: dict[str, Any], context: ToolContext) -> Any:
    """The whole of a synchronous call, in one hop. An awaitable it returns is handed back."""
    try:
        if not _allows(tool, context.user):
            return _denied(tool)
        if question := _question(tool, values, context):
            message: Any = question(**values) if callable(question) else question
            if inspect.isawaitable(message):
                return _asked(message)
            raise ApprovalRequired(message)
        result = _bound(tool, tool.function, context)(**values)
        # Here, because what it returns may ask the database when it is looked at.
        return result if inspect.isawaitable(result) else ("ok", ToolResult(content_of(result)))
    except ApprovalRequired:
        raise
    except (Exception, SystemExit) as error:
        return _explain(error, context)


def _bound(tool: Tool, function: Any, context: ToolContext) -> Callable[..., Any]:
    if not tool.takes_context:
        return function  # type: ignore[no-any-return]
    return lambda **values: function(context, **values)


def _question(
    tool: Tool, values: Mapping[str, Any], context: ToolContext
) -> str | Callable[..., Any] | None:
    if not tool.destructive or context.approved:
        return None
    if callable(tool.approval_message):
        return _bound(tool, tool.approval_message, context)
    return tool.approval_message or f"May I call {tool.name}?"


def _denied(tool: Tool) -> Outcome:
    return "denied", ToolResult(f"The user has no permission for {tool.name}.", error=True)


def _explain(error: BaseException, context: ToolContext) -> Outcome:
    """What a model is told of an exception."""
    outcome = "error"
    if isinstance(error, CopilotKitError):
        text = str(error)
    elif isinstance(error, PermissionDenied):
        outcome, text = "denied", "The user may not do that."
    elif isinstance(error, (ObjectDoesNotExist, Http404)):
        text = "Not found."
    elif isinstance(error, ValidationError):
        text = explain_validation(error)
    else:
        text = scrub(error, expose=context.run.expose_errors)
    return outcome, ToolResult(text, error=True)


def explain_validation(error: ValidationError) -> str:
    """What a validation error says, by field."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        f"{name}: {' '.join(messages)}" if name != "__all__" else " ".join(messages)
        for name, messages in error.message_dict.items()
    )


def content_of(result: Any) -> str:
    """What a function returned, as the text a model gets: a text as it is, all else as JSON.

    Raises `TypeError` for what has no JSON form: model instances and querysets, for two.
    """
    if isinstance(result, str):
        return result
    if result is None:
        # Some providers refuse an empty result.
        return "Done."
    try:
        return to_json(result, fallback=_translated).decode()
    except PydanticSerializationError as error:
        raise TypeError(f"A tool returned what cannot be written as JSON: {error}") from error


def _translated(value: Any) -> str:
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
