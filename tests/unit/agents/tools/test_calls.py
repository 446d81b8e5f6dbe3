"""One call of a tool: what comes of it, and what the model is told."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import dataclasses
import datetime
import logging
import threading
from typing import Annotated

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.utils.translation import gettext_lazy
from pydantic import AfterValidator

from copilotkit_django import ToolContext, ToolError, tool
from copilotkit_django.agents.tools import ApprovalRequired, CallOver, Tool, is_approved
from tests.talk import SECONDS, until, within

from .calling import call, complaint, content, context_of, not_before


@tool
def sync_echo(context: ToolContext, text: str) -> str:
    return f"{text} from {context.scope} on {threading.current_thread().name}"


@tool
async def async_echo(context: ToolContext, text: str) -> str:
    return f"{text} from {context.scope} on {threading.current_thread().name}"


async def test_call__async_function():
    """It runs where the run runs."""
    assert await content(async_echo, {"text": "hi"}) == "hi from anon:1 on MainThread"


async def test_call__sync_function():
    """It runs in a thread of its own kind, not among those that runs share."""
    assert (await content(sync_echo, {"text": "hi"})).startswith(
        "hi from anon:1 on copilotkit-tool"
    )


async def test_call__sync_function_that_returns_an_awaitable():
    """What a lambda around a coroutine returns is awaited."""

    @tool
    def wrapped() -> object:
        async def answer():
            return "awaited"

        return answer()

    assert await content(wrapped) == "awaited"


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def test_call__context_variables():
    """A thread sees what the run has set."""

    @tool
    def look() -> str:
        return variable.get()

    variable.set("seen")

    assert await content(look) == "seen"


@dataclasses.dataclass
class Point:
    x: int
    y: datetime.date


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("plain", "plain"),
        (None, "Done."),
        (7, "7"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (Point(1, datetime.date(2026, 1, 2)), '{"x":1,"y":"2026-01-02"}'),
        (gettext_lazy("Yes"), '"Yes"'),
        ((n for n in (1, 2)), "[1,2]"),
    ],
)
async def test_result__forms(value, said):
    """A text is the result, everything else its JSON."""

    @tool
    def give() -> object:
        return value

    assert await content(give) == said


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ToolError("There is no such order."), "There is no such order."),
        (PermissionDenied("secret"), "The user may not do that."),
        (ObjectDoesNotExist("secret"), "Not found."),
        (ValidationError({"name": ["Too long.", "Too loud."]}), "name: Too long. Too loud."),
        (ValidationError("No."), "No."),
    ],
)
async def test_error__fit_for_the_model(error, said, is_async):
    """Errors that are meant for whoever asked are passed on, in words that tell no secrets."""
    assert await complaint(raising(error, is_async=is_async)) == said


def raising(error: BaseException, *, is_async: bool) -> Tool:
    def broken() -> None:
        raise error

    async def abroken() -> None:
        raise error

    return tool(abroken if is_async else broken)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password=hunter2"),
        TimeoutError("password=hunter2"),
        StopIteration("password=hunter2"),
        SystemExit("password=hunter2"),
    ],
)
async def test_error__of_somebody_else(error, is_async, caplog):
    """The model learns that something went wrong; the log learns what."""
    text = await complaint(raising(error, is_async=is_async))

    assert "hunter2" not in text
    assert text.split()[-1] in caplog.text
    assert "hunter2" in caplog.text


COLORS = {"red": "#f00"}


async def test_error__of_a_validator(caplog):
    """What a type of the project's own raises is an error of the call, and recorded as one."""

    @tool
    def paint(color: Annotated[str, AfterValidator(COLORS.__getitem__)]) -> str:
        return f"Painted {color}."

    with caplog.at_level(logging.INFO, logger="copilotkit.tool"):
        assert "blue" not in await complaint(paint, {"color": "blue"})

    [line] = [record for record in caplog.records if record.name == "copilotkit.tool"]
    assert line.outcome == "error"


async def test_error__exposed():
    """With EXPOSE_ERROR_TEXT the model reads what it says."""
    text = await complaint(raising(RuntimeError("no disk"), is_async=False), expose_errors=True)

    assert text == "no disk"


async def test_result__not_json():
    """A tool that returns what cannot be written down has a bug, which the log tells of."""

    @tool
    def give() -> object:
        return object()

    assert "Incident" in await complaint(give)


class User:
    pk = 7
    is_authenticated = True

    def __init__(self, *permissions: str) -> None:
        self.asked_on: set[str] = set()
        self.permissions = permissions

    def has_perm(self, permission: str) -> bool:
        self.asked_on.add(threading.current_thread().name)
        return permission in self.permissions


class Anonymous(User):
    is_authenticated = False


@tool(permission="shop.change_order")
def guarded() -> str:
    return "in"


@tool(permission=("shop.change_order", "shop.view_order"))
async def guarded_twice() -> str:
    return "in"


@pytest.mark.parametrize("made", [guarded, guarded_twice])
async def test_permission__granted(made):
    """Whoever has all permissions gets in; nobody is asked on the event loop."""
    user = User("shop.change_order", "shop.view_order")

    assert await content(made, user=user) == "in"
    assert await made.is_allowed(user)
    assert user.asked_on
    assert all(name.startswith("copilotkit-tool") for name in user.asked_on)


@pytest.mark.parametrize("made", [guarded, guarded_twice])
@pytest.mark.parametrize(
    "user",
    [
        None,
        object(),
        User(),
        User("shop.view_order"),
        Anonymous("shop.change_order", "shop.view_order"),
    ],
    ids=["nobody", "no Django user", "no permission", "another", "anonymous"],
)
async def test_permission__missing(made, user):
    """Without all of them nothing is called; an anonymous user has none, whatever backends say."""
    text = await complaint(made, user=user)

    assert text == f"The user has no permission for {made.name}."
    assert not await made.is_allowed(user)


async def test_timeout__async():
    """The function is cancelled, the model told."""
    cancelled = asyncio.Event()

    @tool(timeout=0.01)
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    assert (await complaint(slow)).startswith("slow took longer than 0.01 s")
    assert cancelled.is_set()


async def test_timeout__sync(monkeypatch):
    """The thread is left behind: its context tells it so, and refuses what it still says."""
    begun, release, found = threading.Event(), threading.Event(), []
    not_before(begun, monkeypatch)

    @tool(timeout=0.05)
    def slow(context: ToolContext) -> str:
        begun.set()
        assert release.wait(SECONDS)
        found.append(context.over)
        try:
            context.custom("late")
        except CallOver as error:
            found.append(type(error))
        return "too late"

    context = context_of()
    result = await call(slow, context=context)
    release.set()
    await until(lambda: len(found) == 2)

    assert result.error
    assert "was given up" in result.content
    assert found == [True, CallOver]
    assert context.session.take() == []


async def test_cancel__sync():
    """A stopped run does not wait for a thread that goes on."""
    begun, release = threading.Event(), threading.Event()

    @tool
    def slow() -> None:
        begun.set()
        assert release.wait(SECONDS)

    task = asyncio.create_task(slow.call({}, context_of()))
    await until(begun.is_set)
    task.cancel()
    try:
        with pytest.raises(asyncio.CancelledError):
            await within(task)
    finally:
        release.set()


async def test_approval__destructive():
    """A destructive tool asks first, and goes on once it was agreed to."""

    @tool(destructive=True)
    def erase() -> str:
        return "erased"

    with pytest.raises(ApprovalRequired) as required:
        await call(erase)

    assert required.value.interrupt() == {
        "id": "call-1",
        "reason": "tool_approval",
        "message": "May I call erase?",
        "toolCallId": "call-1",
        "responseSchema": required.value.interrupt()["responseSchema"],
        "metadata": {"toolName": "erase"},
    }
    assert await content(erase, approved=True) == "erased"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("asks_async", [False, True])
async def test_approval__message(is_async, asks_async):
    """The question may say what it is about; a function that blocks is asked in a thread."""
    asked = []

    def ask(context: ToolContext, number: int) -> str:
        asked.append(threading.current_thread() is threading.main_thread())
        return f"Erase {number} for {context.scope}?"

    async def aask(context: ToolContext, number: int) -> str:
        return ask(context, number)

    def erase(context: ToolContext, number: int) -> str:
        return "erased"

    async def aerase(context: ToolContext, number: int) -> str:
        return "erased"

    made = tool(destructive=True, approval_message=aask if asks_async else ask)(
        aerase if is_async else erase
    )

    with pytest.raises(ApprovalRequired) as required:
        await call(made, {"number": 7})

    assert required.value.message == "Erase 7 for anon:1?"
    assert asked == [asks_async]


@pytest.mark.parametrize("is_async", [False, True])
async def test_approval__message_fails(is_async):
    """What cannot be asked about is not done: the model is told why."""

    def ask(number: int) -> str:
        raise ToolError("There is no 7.")

    def erase(number: int) -> str:
        return "erased"

    async def aerase(number: int) -> str:
        return "erased"

    made = tool(destructive=True, approval_message=ask)(aerase if is_async else erase)

    assert await complaint(made, {"number": 7}) == "There is no 7."


async def test_approval__asked_by_the_tool():
    """A tool may find out by itself that it has to ask."""

    @tool
    def pay(context: ToolContext, amount: int) -> str:
        if amount > 100:
            context.require_approval(f"Pay {amount}?", {"amount": amount})
        return "paid"

    assert await content(pay, {"amount": 7}) == "paid"
    with pytest.raises(ApprovalRequired) as required:
        await call(pay, {"amount": 700})
    assert required.value.interrupt()["metadata"] == {"amount": 700, "toolName": "pay"}
    assert await content(pay, {"amount": 700}, approved=True) == "paid"


async def test_approval__not_without_permission():
    """Nobody is asked to agree to what they may not do."""

    @tool(destructive=True, permission="shop.delete_order")
    def erase() -> None: ...

    assert "no permission" in await complaint(erase, user=User())


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"status": "resolved", "payload": True}, True),
        ({"status": "resolved", "payload": {"approved": True}}, True),
        ({"status": "resolved", "payload": {"approved": "yes"}}, False),
        ({"status": "resolved", "payload": {"approved": False}}, False),
        ({"status": "resolved", "payload": "yes"}, False),
        ({"status": "resolved"}, False),
        ({"status": "cancelled", "payload": True}, False),
        ({}, False),
    ],
)
def test_is_approved(answer, verdict):
    """Only a plain yes is a yes."""
    assert is_approved(answer) is verdict


def test_interrupt():
    """The body of an interrupt tool is never run; its signature and its words are what counts."""

    @tool(interrupt=True, interrupt_reason="pick", interrupt_message="Which one?")
    def pick(options: list[str]) -> str:
        """Let the person pick one."""
        raise AssertionError

    assert (pick.interrupt, pick.function) == (True, None)
    assert (pick.interrupt_reason, pick.interrupt_message) == ("pick", "Which one?")
    assert pick.description == "Let the person pick one."
    assert pick.parameters["required"] == ["options"]
    with pytest.raises(TypeError, match="the page answers it"):
        pick(["a"])


def test_tool__copies():
    """The tools of an agent that is copied for a run are the same tools."""
    assert copy.deepcopy([guarded]) == [guarded]


async def test_record__log(caplog):
    """One line for each call: who, what, how it went, and nothing of what was said."""
    caplog.set_level(logging.INFO, "copilotkit.tool")

    await call(async_echo, {"text": "hunter2"}, user=User())

    [line] = [record for record in caplog.records if record.name == "copilotkit.tool"]
    assert line.getMessage().startswith("Tool async_echo: ok after ")
    assert "hunter2" not in str(vars(line))
    assert (line.tool, line.tool_call_id, line.outcome) == ("async_echo", "call-1", "ok")
    assert (line.thread_id, line.run_id, line.agent_id) == ("t1", "r1", "default")
    assert (line.scope, line.user_id) == ("anon:1", 7)
    assert line.ms >= 0
    assert len(line.arguments_digest) == 32
