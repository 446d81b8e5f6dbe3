"""Middleware of agents at an endpoint: which runs pass it, and which leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

from copilotkit_django import AgentMiddleware
from copilotkit_django.exceptions import TooManyRuns
from tests.acting import Parrot, Staged
from tests.talk import kinds, run_input, text_of, within

from .site import BASE, Connection, first_event

SUGGEST = {
    "forwardedProps": {
        "toolChoice": {"type": "function", "function": {"name": "copilotkitSuggest"}}
    },
    "tools": [{"name": "copilotkitSuggest", "description": "", "parameters": {}}],
}


async def shout(context, next):
    """Upper-cases what is said."""
    async for event in next(context):
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            event = {**event, "delta": event["delta"].upper()}
        yield event


class Quiet(AgentMiddleware):
    """Answers by itself, and not to suggestions."""

    on_suggestions = False

    async def run(self, context, next):
        yield context.started()
        yield context.finished(result="quiet")


class Whisper(AgentMiddleware):
    """Answers messages that begin with an underscore beside the conversation."""

    def is_aside(self, run_input):
        return run_input.messages[-1]["content"].startswith("_")

    async def run(self, context, next):
        async for event in next(context):
            yield event


async def test_run__setting(serve, alice):
    """What the setting names wraps every agent; others read what was sent."""
    serve(agent_middleware=[f"{__name__}.shout"])

    answer = await alice.run(run_input("hello"))

    assert text_of(answer.events) == "HELLO"
    assert text_of((await alice.connect(run_input("hello"))).events) == "HELLO"


async def test_run__setting_by_agent(serve, alice):
    """A mapping names the agents."""
    serve(
        agents={"default": Parrot(), "other": Parrot()},
        agent_middleware={"other": [shout]},
    )

    first = await alice.run(run_input("hello"))
    second = await alice.run(run_input("hello", thread="t2"), agent="other")

    assert (text_of(first.events), text_of(second.events)) == ("hello", "HELLO")


async def test_suggest__only_what_is_for_suggestions(serve, alice):
    """Suggestions pass the middleware that is for them, by either way they are asked for."""
    serve(agent_middleware=[Quiet, shout])
    wire = run_input("hello", **SUGGEST)

    suggested = await alice.ask("POST", "/agent/default/suggest", wire)

    assert text_of(suggested.events) == "HELLO"
    assert text_of((await alice.run(wire)).events) == "HELLO"
    assert (await alice.run(run_input("hello"))).events[-1]["result"] == "quiet"


async def test_run__aside(serve, alice):
    """A run that is no turn of the conversation holds no thread and leaves nothing behind."""
    agent = Staged()
    serve(agents={"default": agent}, agent_middleware=[Whisper])
    live = await alice.open("POST", "/agent/default/run", run_input("hello"))
    await first_event(live)
    agent.cue.set()

    whispered = await alice.run(run_input("_psst", run="r2"))

    assert kinds(whispered.events)[-1] == "RUN_FINISHED"
    assert "input" not in whispered.events[0]
    _ = [chunk async for chunk in live]
    started = [e for e in (await alice.connect(run_input())).events if e["type"] == "RUN_STARTED"]
    assert [event["runId"] for event in started] == ["r1"]


@pytest.mark.parametrize("after", [None, lambda after: None])
async def test_run__aside_left(serve, after):
    """It ends with its client."""
    agent = Staged()
    serve(agents={"default": agent}, agent_middleware=[Whisper], after_request_middleware=after)
    connection = Connection(
        get_asgi_application(),
        f"{BASE}/agent/default/run",
        json.dumps(run_input("_psst")).encode(),
        headers={"x-user": "alice"},
    )
    await connection.begin()
    await within(agent.waiting.wait())

    await connection.leave()

    await within(agent.cancelled.wait())


async def test_run__too_many_asides(serve, alice):
    """They count among the live runs of their owner, each for itself."""
    agent = Staged()
    runtime = serve(
        agents={"default": agent}, agent_middleware=[Whisper], concurrent_runs_per_owner=1
    )
    first = await alice.open("POST", "/agent/default/run", run_input("_psst"))
    await first_event(first)

    refused = await alice.run(run_input("_psst", run="r2"))

    assert refused.status == TooManyRuns.status
    agent.cue.set()
    _ = [chunk async for chunk in first]
    assert len(runtime.endpoint.slots) == 0


async def test_run__asides_all_at_once(serve, alice):
    """They count from when they are let in; one that is never read counts no longer than that."""
    agent = Staged()
    runtime = serve(
        agents={"default": agent}, agent_middleware=[Whisper], concurrent_runs_per_owner=1
    )
    first = await alice.open("POST", "/agent/default/run", run_input("_psst"))

    refused = await alice.run(run_input("_psst", run="r2"))

    assert refused.status == TooManyRuns.status
    first.close()
    del first
    gc.collect()
    assert len(runtime.endpoint.slots) == 0
    assert not agent.contexts


async def test_stop__through_middleware(serve, alice):
    """Stop reaches an agent in middleware, and the run ends well."""
    agent = Staged()
    serve(agents={"default": agent}, agent_middleware=[shout, shout])
    response = await alice.open("POST", "/agent/default/run", run_input("hello"))
    chunks = await first_event(response)

    await within(agent.waiting.wait())
    stopped = await alice.ask("POST", "/agent/default/stop/t1")
    rest = b"".join([chunk async for chunk in chunks])

    assert stopped.data["stopped"] is True
    assert b"RUN_FINISHED" in rest
    assert agent.cancelled.is_set()


async def test_run__middleware_raises(serve, alice):
    """What middleware raises ends the run, with a sentence of ours."""

    async def fails(context, next):
        async for event in next(context):
            yield event
            await asyncio.sleep(0)
            raise LookupError("secret")

    serve(agent_middleware=[fails])

    events = (await alice.run(run_input("hello"))).events

    assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert "secret" not in events[-1]["message"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([7], "7 is neither an AgentMiddleware"),
        (["nowhere.at_all"], "Cannot import"),
        ("nowhere.at_all", "neither a list of middleware nor a mapping"),
        ({"default": shout}, "neither a list of middleware nor a mapping"),
    ],
)
def test_setting__wrong(make_runtime, value, text):
    """A setting that cannot be used is refused with what is wrong with it."""
    with pytest.raises(ImproperlyConfigured, match=text):
        make_runtime(agent_middleware=value)
