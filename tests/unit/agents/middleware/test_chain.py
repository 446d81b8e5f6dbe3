"""What wraps a run: in which order, with which events, and how it ends."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import aclosing

import pytest
from ag_ui.core import TextMessageChunkEvent
from django.core.exceptions import ImproperlyConfigured

from copilotkit_django import Agent, AgentMiddleware, FunctionAgent
from copilotkit_django.agents.middleware.stack import MiddlewareStack
from copilotkit_django.agents.registry import as_agent
from copilotkit_django.events.wire import InvalidEvent
from tests.talk import kinds, within

from .stage import Saying, context_of, run


def chunk(text):
    return {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m1", "delta": text}


def noting(name, notes):
    """Middleware that tells when it begins, what it sees, and when it ends."""

    async def note(context, next):
        notes.append(f"{name} begins")
        try:
            async for event in next(context):
                notes.append(f"{name} {event['type']}")
                yield event
        finally:
            notes.append(f"{name} ends")

    return note


async def relay(context, next):
    async for event in next(context):
        yield event


async def test_run__order():
    """The first is outermost: it begins first, sees each event last, and ends last."""
    notes = []

    await run(Saying(), [noting("outer", notes), noting("inner", notes)])

    assert notes == [
        "outer begins",
        "inner begins",
        "inner RUN_STARTED",
        "outer RUN_STARTED",
        "inner RUN_FINISHED",
        "outer RUN_FINISHED",
        "inner ends",
        "outer ends",
    ]


async def test_run__chunks_and_models():
    """Middleware sees dicts in wire form: models are dumped, chunks expanded and closed."""
    seen = []

    async def look(context, next):
        async for event in next(context):
            assert type(event) is dict
            seen.append(event)
            yield event

    await run(Saying(TextMessageChunkEvent(message_id="m1", delta="a"), chunk("b")), [look])

    assert kinds(seen) == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        *["TEXT_MESSAGE_CONTENT"] * 2,
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]


async def test_run__chunks_of_middleware():
    """What middleware adds is brought into that form for the middleware outside of it."""
    seen = []

    async def look(context, next):
        async for event in next(context):
            seen.append(event["type"])
            yield event

    async def add(context, next):
        async for event in next(context):
            yield event
            if event["type"] == "RUN_STARTED":
                yield TextMessageChunkEvent(message_id="m1", delta="a")

    await run(Saying(), [look, add])

    assert seen == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]


async def test_run__unfinished_chunks():
    """A stream that just ends has its chunks closed, also for middleware."""

    async def mumble(context):
        yield context.started()
        yield chunk("a")

    events = await run(FunctionAgent(mumble), [relay])

    assert kinds(events)[-1] == "TEXT_MESSAGE_END"


async def test_run__invalid_event():
    """An event of wrong shape never reaches middleware; the protocol's own error does."""
    with pytest.raises(InvalidEvent, match="TOOL_CALL_START: toolCallId is missing"):
        await run(Saying({"type": "TOOL_CALL_START", "toolCallName": "x"}), [relay])


async def test_run__changed_input():
    """The agent gets what the middleware made of the input; the middleware keeps its own."""
    agent = Saying()
    tool = {"name": "clock", "description": "", "parameters": {}}

    async def add_tool(context, next):
        before = context.input.tools
        async for event in next(context.with_input(tools=[*before, tool])):
            yield event
        assert context.input.tools == before

    await run(agent, [add_tool])

    (context,) = agent.contexts
    assert context.input.tools == [tool]
    assert context.run_id == "r1"


async def test_run__without_the_agent():
    """Middleware that does not go on answers instead of the agent."""
    agent = Saying()

    async def closed(context, next):
        yield context.started()
        yield context.finished(result="closed")

    events = await run(agent, [closed])

    assert events[-1]["result"] == "closed"
    assert agent.contexts == []


async def test_run__again():
    """Middleware may go on twice: here after an agent that failed before it said anything."""
    attempts = []

    async def shaky(context):
        attempts.append(context)
        if len(attempts) == 1:
            raise ConnectionError
        yield context.started()
        yield context.finished()

    async def retry(context, next):
        try:
            async for event in next(context):
                yield event
        except ConnectionError:
            async for event in next(context):
                yield event

    assert kinds(await run(FunctionAgent(shaky), [retry])) == ["RUN_STARTED", "RUN_FINISHED"]
    assert len(attempts) == 2


async def test_run__left_early():
    """Whoever stops reading has all streams closed, from the outside inwards, in its own task."""
    notes = []
    variable = contextvars.ContextVar("variable", default="unset")

    async def careful(context):
        token = variable.set("set")
        try:
            yield context.started()
            await asyncio.Event().wait()
        finally:
            variable.reset(token)  # raises in any other context
            notes.append("agent ends")

    wrapped = MiddlewareStack([noting("outer", notes), noting("inner", notes)]).wrap(
        "default", FunctionAgent(careful), context_of().input
    )
    async with aclosing(wrapped.run(context_of())) as events:
        await within(anext(events))

    assert notes[-3:] == ["outer ends", "inner ends", "agent ends"]


async def test_run__middleware_fails():
    """An exception of middleware ends the run, and the agent with it."""
    agent = Saying(chunk("a"))

    async def fails(context, next):
        async for event in next(context):
            yield event
            raise LookupError

    with pytest.raises(LookupError):
        await run(agent, [fails])
    assert agent.closed


async def test_run__agent_fails():
    """An exception of the agent passes through the middleware."""

    async def fails(context):
        yield context.started()
        raise LookupError

    with pytest.raises(LookupError):
        await run(FunctionAgent(fails), [relay, relay])


async def test_run__cancelled():
    """A cancelled run cancels the agent; what it says then still passes the middleware."""

    async def lingering(context):
        yield context.started()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield context.finished(result="cancelled")

    seen = []

    async def read():
        seen.extend(await run(FunctionAgent(lingering), [relay, relay]))

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    task.cancel()
    await within(task)

    assert seen[-1]["result"] == "cancelled"


class Counting(AgentMiddleware):
    """Middleware that cannot be copied and keeps count over all runs."""

    def __init__(self):
        self.runs = 0
        self.lock = asyncio.Lock()

    async def run(self, context, next):
        self.runs += 1
        async for event in next(context):
            yield event


class Plain(Agent):
    async def run(self, context):
        yield context.started()
        yield context.finished()


async def test_use__cloned_agent():
    """Clones of an agent share its middleware, which is not copied."""
    counting = Counting()
    agent = Plain().use(counting)

    for _ in range(2):
        await run(agent.clone(), [])

    assert counting.runs == 2


async def test_layers__order():
    """Settings for all agents, settings for this one, what the agent brings."""
    notes = []
    stack = MiddlewareStack({"*": [noting("all", notes)], "default": [noting("one", notes)]})
    agent = Saying().use(noting("own", notes))

    for agent_id in ("default", "other"):
        wrapped = stack.wrap(agent_id, agent, context_of().input)
        _ = [event async for event in wrapped.run(context_of())]

    begins = [note for note in notes if note.endswith("begins")]
    assert begins == ["all begins", "one begins", "own begins", "all begins", "own begins"]


def test_wrap__nothing():
    """A run without middleware is a run of the agent itself."""
    agent = Plain()

    assert MiddlewareStack().wrap("default", agent, context_of().input) is agent


def test_wrap__suggestions():
    """Suggestions pass only the middleware that wants them."""

    class Quiet(Counting):
        on_suggestions = False

    wrapped = MiddlewareStack([Quiet(), relay]).wrap(
        "default", Plain(), context_of().input, suggestion=True
    )

    assert len(wrapped.layers) == 1
    assert not isinstance(wrapped.layers[0], Quiet)


async def coroutine(context, next):
    return None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7 is neither an AgentMiddleware nor"),
        (coroutine, "is neither an AgentMiddleware nor"),
        ("nowhere.at_all", "Cannot import 'nowhere.at_all'"),
        (Agent, "is neither an AgentMiddleware nor"),
        (AgentMiddleware, "cannot be made"),
    ],
)
def test_as_agent__no_middleware(value, text):
    """What cannot be middleware is refused where the agent is registered."""
    with pytest.raises(ImproperlyConfigured, match=text):
        as_agent(Plain().use(value))
