"""Tools: functions of the project that a model may call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, overload

if TYPE_CHECKING:
    from copilotkit_django.agents.tools.context import ToolContext
    from copilotkit_django.agents.tools.results import ToolResult

#: Seconds a call may take unless its tool says otherwise.
TIMEOUT = 60.0

#: What every provider takes as the name of a function.
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool:
    """Something a model may call. Made by `tool`; the attributes are its options.

    ``parameters`` is the JSON schema of its arguments, ``validate`` turns arguments into what the
    function takes or raises `ToolError`. An interrupt tool has no ``function``: calling it ends the
    run, and what the page answers is its result.
    """

    name: str
    description: str
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    function: Callable[..., Any] | None = None
    validate: Callable[[Any], dict[str, Any]] = dict
    takes_context: bool = False
    permission: str | Iterable[str] | None = None
    timeout: float | None = TIMEOUT
    destructive: bool = False
    approval_message: str | Callable[..., Any] | None = None
    interrupt: bool = False
    interrupt_reason: str = "tool_call"
    interrupt_message: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is no name for a tool: letters, digits, _ and -, at most 64."
            )
        if self.interrupt != (self.function is None):
            raise ValueError(f"Tool {self.name!r} needs a function, or interrupt=True.")
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError(f"The timeout of tool {self.name!r} must be positive, or None.")

    def __deepcopy__(self, memo: Any) -> Self:
        # Nothing about a tool changes; agents are copied deeply for each run.
        return self

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function itself, with no checks: for code of the project's own."""
        if self.function is None:
            raise TypeError(f"{self.name!r} is an interrupt tool: the page answers it.")
        return self.function(*arguments, **named)

    @property
    def permissions(self) -> tuple[str, ...]:
        """The permissions its user needs, all of them."""
        if self.permission is None:
            return ()
        return (self.permission,) if isinstance(self.permission, str) else tuple(self.permission)

    async def is_allowed(self, user: Any) -> bool:
        """Whether the user has the permissions; an anonymous one never has any."""
        from copilotkit_django.agents.tools.calls import is_allowed

        return await is_allowed(self, user)

    async def call(self, arguments: Any, context: ToolContext) -> ToolResult:
        """Call it for a model: checked, limited in time, recorded.

        ``arguments`` is what the model sent, decoded. ``context`` is for this call only. Whatever
        goes wrong is a result that says so, in words fit for a model; of foreign exceptions only
        with EXPOSE_ERROR_TEXT. Raises `ApprovalRequired` if the person has to agree first, and
        `CancelledError` if it is cancelled: a synchronous function then goes on by itself.
        """
        from copilotkit_django.agents.tools.calls import call

        if self.function is None:
            raise TypeError(f"{self.name!r} is an interrupt tool: the page answers it.")
        return await call(self, arguments, context)


@overload
def tool(function: Callable[..., Any]) -> Tool: ...
@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    permission: str | Iterable[str] | None = None,
    timeout: float | None = TIMEOUT,
    destructive: bool = False,
    approval_message: str | Callable[..., Any] | None = None,
    interrupt: bool = False,
    interrupt_reason: str = "tool_call",
    interrupt_message: str | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a tool of a function, sync or async::

        @tool(permission="shop.change_order", destructive=True)
        def cancel_order(context: ToolContext, number: int, reason: str = "") -> str:
            \"""Cancel an order of the user.

            Args:
                number: The number on the order.
                reason: What to tell the shop.
            \"""
            order = Order.objects.get(owner=context.user, number=number)
            ...
            return "Cancelled."

    Its arguments are those of the function, by their type hints; a first one annotated
    `ToolContext` is the context. Its name and description are the function's and its docstring's,
    parameter sections included. A synchronous function runs in a thread, where it may use the ORM.
    What it returns is the result: a text, or whatever can be written as JSON. `ToolError` tells the
    model what is wrong.

    ``permission``: what the user must have, one or several; anonymous users have none.
    ``timeout``: seconds, ``None`` for no limit. ``destructive``: the person is asked first, with
    ``approval_message``, a text or a function that gets what the tool gets and returns it.
    ``interrupt``: the body is never run; the call ends the run with ``interrupt_reason`` and
    ``interrupt_message``, and the page's answer is the result.

    Raises `TypeError` for a function whose arguments a model could not be told.
    """

    def make(function: Callable[..., Any]) -> Tool:
        from copilotkit_django.agents.tools.schema import read

        inner = unwrapped(function)
        if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
            raise TypeError(f"{function!r} is a generator: a tool returns its result.")
        name = str(options.get("name") or getattr(function, "__name__", type(function).__name__))
        signature = read(function, name)
        made = {
            **options,
            "name": name,
            "description": options.get("description") or signature.description,
            "parameters": signature.arguments.schema,
            "validate": signature.arguments.validate,
            "function": None if options.get("interrupt") else function,
            "takes_context": signature.takes_context,
        }
        return Tool(**made)

    return make if function is None else make(function)


def unwrapped(function: Any) -> Any:
    """What to ask whether a callable is async: an object with ``__call__`` is asked for that."""
    if inspect.isroutine(function) or hasattr(function, "func"):
        return function
    return getattr(function, "__call__", function)  # noqa: B004 - it may be async, too
