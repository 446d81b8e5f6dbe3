"""Agents made by a function, run by run."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import openai
import pydantic_ai
import pytest
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from copilotkit_django import BuiltInAgent, HttpAgent
from copilotkit_django.agents.builtin import FactoryContext
from copilotkit_django.agents.builtin.models import ModelName, get_model
from copilotkit_django.events.state import fold
from copilotkit_django.testing import (
    Answer,
    Fail,
    FakeLLM,
    Prompt,
    Reasoning,
    Text,
    ToolCall,
    Usage,
    Wait,
)
from tests.acting import Parrot
from tests.integration.site import first_event
from tests.talk import kinds, run_input, text_of, until

from .conversation import Page, called, results
from .test_providers import WEATHER


@pytest.fixture
async def client(llm: FakeLLM) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of the project's own."""
    async with openai.AsyncOpenAI() as made:
        yield made


def made_by(factory: Any) -> dict[str, Any]:
    return {"agent": BuiltInAgent(factory=factory)}


async def test_generator__of_events(serve, alice) -> None:
    """A factory that yields events needs neither begin nor end; its own are taken as they are."""

    async def factory(context: FactoryContext):
        yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": context.last_user_text}
        yield {"type": "CUSTOM", "name": "n", "value": 1}
        yield context.finished(result={"a": 1})

    serve(**made_by(factory))

    events = (await alice.run(run_input("hi"))).events

    assert kinds(events) == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "CUSTOM",
        "RUN_FINISHED",
    ]
    assert events[-1]["result"] == {"a": 1}


@pytest.mark.parametrize("is_async", [True, False])
async def test_text__returned(serve, alice, is_async) -> None:
    """A factory may just return what to say, be it sync or async."""

    def factory(context: FactoryContext) -> str:
        return f"You said {context.last_user_text}"

    async def afactory(context: FactoryContext) -> str:
        return factory(context)

    serve(**made_by(afactory if is_async else factory))

    assert text_of((await alice.run(run_input("hi"))).events) == "You said hi"


@pytest.mark.parametrize("made", [None, Parrot()])
async def test_agent__returned(serve, alice, made) -> None:
    """Another agent may be what is made, or nothing at all."""

    async def factory(context: FactoryContext) -> Any:
        return made

    serve(**made_by(factory))

    events = (await alice.run(run_input("hi"))).events

    assert kinds(events)[0] == "RUN_STARTED"
    assert kinds(events)[-1] == "RUN_FINISHED"
    assert kinds(events).count("RUN_STARTED") == 1
    assert text_of(events) == ("" if made is None else "hi")


async def test_error__of_the_factory(serve, alice) -> None:
    """What a factory raises ends the run, with a sentence of ours."""

    async def factory(context: FactoryContext) -> str:
        raise LookupError("secret")

    serve(**made_by(factory))

    events = (await alice.run(run_input())).events

    assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert "secret" not in str(events)


async def test_error__of_an_agent_behind(serve, alice) -> None:
    """An agent that ends with an error ends the run with it."""

    async def factory(context: FactoryContext):
        yield {"type": "RUN_ERROR", "message": "Mine.", "code": "mine"}
        yield {"type": "CUSTOM", "name": "late", "value": 1}

    serve(**made_by(factory))

    events = (await alice.run(run_input())).events

    assert kinds(events) == ["RUN_STARTED", "RUN_ERROR"]
    assert events[-1]["code"] == "mine"


async def test_error__of_nothing_known(serve, alice, caplog) -> None:
    """What is no stream, model or agent is named in the log."""

    async def factory(context: FactoryContext) -> int:
        return 7

    serve(**made_by(factory))

    events = (await alice.run(run_input())).events

    assert events[-1]["type"] == "RUN_ERROR"
    assert "no stream, model or agent" in caplog.text


@pytest.mark.parametrize("api", ["completions", "responses"])
async def test_openai__stream(serve, llm, alice, client, api) -> None:
    """The stream of an OpenAI client becomes reasoning, text, calls and usage."""
    llm.script = lambda prompt: Answer(
        [
            Reasoning("Hm."),
            Text("Look there:"),
            ToolCall("showWeather", {"city": "Rome"}, id="call_a"),
            ToolCall("showWeather", {"city": "Oslo"}, id="call_b"),
        ],
        usage=Usage(5, 6),
    )

    async def factory(context: FactoryContext) -> Any:
        if api == "completions":
            return await client.chat.completions.create(
                model="gpt-test",
                messages=context.openai_messages,
                tools=context.openai_tools,
                stream=True,
                stream_options={"include_usage": True},
            )
        return await client.responses.create(
            model="gpt-test", input=context.openai_messages, stream=True
        )

    serve(**made_by(factory))

    events = (await alice.run(run_input("Weather?", tools=[WEATHER]))).events

    assert events[-1]["type"] == "RUN_FINISHED"
    assert "REASONING_MESSAGE_CONTENT" in kinds(events)
    assert text_of(events) == "Look there:"
    arguments: dict[str, str] = {}
    for event in events:
        if event["type"] == "TOOL_CALL_ARGS":
            call_id = event["toolCallId"]
            arguments[call_id] = arguments.get(call_id, "") + event["delta"]
    assert {key: json.loads(text) for key, text in arguments.items()} == {
        "call_a": {"city": "Rome"},
        "call_b": {"city": "Oslo"},
    }
    parents = {e["parentMessageId"] for e in events if e["type"] == "TOOL_CALL_START"}
    assert parents == {next(e["messageId"] for e in events if e["type"] == "TEXT_MESSAGE_START")}
    (usage,) = events[-1]["usage"]
    assert (usage["inputTokens"], usage["outputTokens"]) == (5, 6)
    assert llm.prompts[0].last_user_text == "Weather?"


@pytest.mark.parametrize("api", ["completions", "responses"])
async def test_openai__breaks_down(serve, llm, alice, client, api) -> None:
    """A provider that fails in the middle ends the run."""
    llm.script = lambda prompt: [Text("So"), Fail("Secret trouble.")]

    async def factory(context: FactoryContext) -> Any:
        if api == "completions":
            return await client.chat.completions.create(
                model="m", messages=context.openai_messages, stream=True
            )
        return await client.responses.create(model="m", input="hi", stream=True)

    serve(**made_by(factory))

    events = (await alice.run(run_input())).events

    assert text_of(events) == "So"
    assert events[-1]["type"] == "RUN_ERROR"
    assert "Secret" not in str(events)


async def test_openai__stopped(serve, llm, alice, client) -> None:
    """A stop hangs up on the provider of a factory, too."""
    llm.script = lambda prompt: [Text("One two"), Wait(threading.Event())]

    async def factory(context: FactoryContext) -> Any:
        return await client.chat.completions.create(
            model="m", messages=context.openai_messages, stream=True
        )

    serve(**made_by(factory))

    rest = await first_event(await alice.open("POST", "/agent/default/run", run_input()))
    await until(lambda: bool(llm.prompts) and llm.prompts[0].sent >= 2)
    await alice.ask("POST", "/agent/default/stop/t1")
    said = b"".join([chunk async for chunk in rest])

    assert b"RUN_FINISHED" in said
    assert await asyncio.to_thread(llm.prompts[0].wait, 5)
    assert llm.prompts[0].disconnected


async def test_openai__calls_of_one_number(serve, alice) -> None:
    """Two calls are two, also of a server that gives both the same index."""

    def chunk(id: str | None, name: str | None, arguments: str) -> Any:
        call = SimpleNamespace(
            index=0, id=id, function=SimpleNamespace(name=name, arguments=arguments)
        )
        delta = SimpleNamespace(content=None, tool_calls=[call])
        return SimpleNamespace(choices=[SimpleNamespace(delta=delta)], usage=None)

    async def factory(context: FactoryContext):
        yield chunk("a", "showWeather", '{"city":')
        yield chunk("a", "", '"Rome"}')
        yield chunk("b", "showWeather", '{"city":')
        yield chunk(None, None, '"Oslo"}')

    serve(**made_by(factory))

    events = (await alice.run(run_input(tools=[WEATHER]))).events

    arguments: dict[str, str] = {}
    for event in events:
        if event["type"] == "TOOL_CALL_ARGS":
            call_id = event["toolCallId"]
            arguments[call_id] = arguments.get(call_id, "") + event["delta"]
    assert arguments == {"a": '{"city":"Rome"}', "b": '{"city":"Oslo"}'}
    assert kinds(events).count("TOOL_CALL_END") == 2


async def test_langchain__usage(serve, alice) -> None:
    """What the chunks of LangChain cost is added up: some models say so in every one."""

    def chunk(text: str, read: int, written: int) -> Any:
        counts = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        return SimpleNamespace(content=text, tool_call_chunks=[], usage_metadata=counts)

    async def factory(context: FactoryContext):
        yield chunk("It", 100, 1)
        yield chunk(" is", 0, 3)
        yield chunk(" done.", 0, 2)

    serve(**made_by(factory))

    events = (await alice.run(run_input())).events

    assert text_of(events) == "It is done."
    (usage,) = events[-1]["usage"]
    assert usage == {"inputTokens": 100, "outputTokens": 6, "totalTokens": 106}


async def test_messages__in_openais_form(serve, alice) -> None:
    """The conversation is given to a factory with a result behind every call."""
    seen: list[Any] = []

    async def factory(context: FactoryContext) -> str:
        seen.extend(context.openai_messages)
        return "ok"

    serve(**made_by(factory))
    call = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
    image = {"type": "image", "source": {"type": "data", "value": "AAAA", "mimeType": "image/png"}}
    old = {"type": "binary", "mimeType": "image/png", "url": "https://a.example/x.png"}
    sound = {"type": "audio", "source": {"type": "data", "value": "AAAA", "mimeType": "audio/mp3"}}
    messages = [
        {"id": "s", "role": "system", "content": "Obey."},
        {"id": "u", "role": "user", "content": [{"type": "text", "text": "x"}, image, old, sound]},
        {"id": "a", "role": "assistant", "toolCalls": [call]},
        {"id": "u2", "role": "user", "content": [{"type": "text", "text": "a"}]},
    ]

    await alice.run(run_input(messages=messages))

    assert seen == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
            ],
        },
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": "The call was interrupted; there is no result.",
        },
        {"role": "user", "content": "a"},
    ]


async def test_pydantic_ai__agent(serve, llm, alice) -> None:
    """An agent of pydantic-ai is run with its own tools and those of the page."""

    async def factory(context: FactoryContext) -> Any:
        model = await get_model(ModelName.parse("openai-chat/gpt-test"))
        agent = pydantic_ai.Agent(model, instructions="Be short.")

        @agent.tool_plain
        def double(n: int) -> int:
            return 2 * n

        return agent

    llm.script = lambda prompt: (
        f"It is {prompt.tool_results[0].text}."
        if prompt.tool_results
        else ToolCall("double", {"n": 21})
    )
    serve(**made_by(factory))

    events = (await alice.run(run_input("Double 21", tools=[WEATHER]))).events

    assert text_of(events) == "It is 42."
    assert kinds(events).count("RUN_STARTED") == 1
    assert kinds(events)[-1] == "RUN_FINISHED"
    assert set(llm.prompts[0].tool_names) == {"double", "showWeather"}


async def test_pydantic_ai__approval(serve, alice) -> None:
    """A tool of pydantic-ai that wants approval becomes an interrupt, and goes on with a yes."""

    async def say(messages: Any, info: Any):
        parts = [part.part_kind for part in messages[-1].parts]
        if "tool-return" in parts:
            yield "Wiped."
        else:
            yield {0: DeltaToolCall(name="wipe", json_args="{}", tool_call_id="c1")}

    wiped: list[int] = []

    async def factory(context: FactoryContext) -> Any:
        agent = pydantic_ai.Agent(
            FunctionModel(stream_function=say),
            output_type=[str, pydantic_ai.DeferredToolRequests],
        )

        @agent.tool_plain(requires_approval=True)
        def wipe() -> str:
            wiped.append(1)
            return "gone"

        return agent

    serve(**made_by(factory))
    page = Page()

    first = page.hear((await alice.run(page.say("Wipe"))).events)
    (interrupt,) = first[-1]["outcome"]["interrupts"]
    assert wiped == []
    yes = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}
    second = page.hear((await alice.run(page.resume(yes))).events)

    assert wiped == [1]
    assert text_of(second) == "Wiped."


async def test_interrupt__of_the_factory(serve, alice) -> None:
    """A factory waits for the person as if the run did not end in between."""

    async def factory(context: FactoryContext):
        (answer,) = context.interrupt([{"id": "color", "message": "Which color?"}])
        yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": answer["payload"]}

    serve(**made_by(factory))
    page = Page()

    first = page.hear((await alice.run(page.say("Paint"))).events)

    assert first[-1]["outcome"] == {
        "type": "interrupt",
        "interrupts": [{"id": "color", "reason": "input_required", "message": "Which color?"}],
    }
    blue = {"interruptId": "color", "status": "resolved", "payload": "blue"}
    second = (await alice.run(page.resume(blue))).events

    assert text_of(second) == "blue"
    assert "outcome" not in second[-1]


async def test_state_tools__of_a_factory(serve, alice) -> None:
    """Calls of tools named like the state tools change the state, whoever made them."""

    async def factory(context: FactoryContext):
        for number, delta in enumerate(
            ([{"op": "add", "path": "/n", "value": 2}], [{"op": "remove", "path": "/gone"}])
        ):
            id = f"c{number}"
            yield {
                "type": "TOOL_CALL_START",
                "toolCallId": id,
                "toolCallName": "AGUISendStateDelta",
            }
            arguments = json.dumps({"delta": delta})
            yield {"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": arguments[:9]}
            yield {"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": arguments[9:]}
            yield {"type": "TOOL_CALL_END", "toolCallId": id}
            yield {
                "type": "TOOL_CALL_RESULT",
                "messageId": f"m{number}",
                "toolCallId": id,
                "content": "{}",
            }

    serve(**made_by(factory))

    events = (await alice.run(run_input(state={"a": 1}))).events

    states = [event for event in events if event["type"].startswith("STATE_")]
    assert fold(None, states) == {"a": 1, "n": 2}
    assert len(states) == 2
    assert called(events, "AGUISendStateDelta") in results(events)


@pytest.mark.parametrize(
    "own",
    [
        {"type": "STATE_SNAPSHOT", "snapshot": {"b": 2}},
        {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/b", "value": 2}]},
    ],
    ids=lambda event: event["type"],
)
async def test_state_tools__after_state_of_the_factory(serve, alice, own) -> None:
    """A call starts from the state the factory has sent itself, and takes nothing of it back."""
    patch = {"delta": [{"op": "add", "path": "/c", "value": 3}]}

    async def factory(context: FactoryContext):
        yield own
        name = "AGUISendStateDelta"
        yield {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": name}
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": json.dumps(patch)}
        yield {"type": "TOOL_CALL_END", "toolCallId": "c"}
        yield {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": "{}"}

    serve(**made_by(factory))

    events = (await alice.run(run_input(state={"a": 1}))).events

    states = [event for event in events if event["type"].startswith("STATE_")]
    before = {} if own["type"] == "STATE_SNAPSHOT" else {"a": 1}
    assert fold({"a": 1}, states) == {**before, "b": 2, "c": 3}


@pytest.mark.parametrize("is_nested", [False, True])
async def test_state_tools__of_an_agent_returned(serve, llm, alice, is_nested) -> None:
    """An agent on a model changes the state by itself: what it did is not done again."""

    def script(prompt: Prompt) -> Any:
        if prompt.number == 3:
            return "Done."
        patch = [{"op": "add", "path": "/items/-", "value": prompt.number}]
        return ToolCall("AGUISendStateDelta", {"delta": patch})

    llm.script = script
    agent = BuiltInAgent("openai-chat/gpt-test")
    if is_nested:
        agent = BuiltInAgent(factory=lambda context, inner=agent: inner)
    serve(**made_by(lambda context: agent))

    events = (await alice.run(run_input(state={"items": []}))).events

    assert kinds(events)[-1] == "RUN_FINISHED"
    states = [event for event in events if event["type"].startswith("STATE_")]
    assert fold(None, states) == {"items": [1, 2]}


@pytest.mark.parametrize("arguments", ["[]", "5", "null", '"x"', "{"])
@pytest.mark.parametrize("name", ["AGUISendStateSnapshot", "AGUISendStateDelta"])
async def test_state_tools__of_a_factory__not_an_object(serve, alice, name, arguments) -> None:
    """What a model wrote in place of arguments changes no state, and ends no run."""

    async def factory(context: FactoryContext):
        yield {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": name}
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": arguments}
        yield {"type": "TOOL_CALL_END", "toolCallId": "c"}
        yield {"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": "{}"}

    serve(**made_by(factory))

    events = (await alice.run(run_input())).events

    assert kinds(events)[-1] == "RUN_FINISHED"
    assert not [event for event in events if event["type"].startswith("STATE_")]


def test_agent__of_both_or_neither() -> None:
    """An agent has a model or a factory."""
    for options in ({}, {"model": "openai/x", "factory": lambda context: "x"}):
        with pytest.raises(TypeError, match="a model, or a factory"):
            BuiltInAgent(**options)


async def test_agent__of_another_place(serve, alice) -> None:
    """Where an agent behind HTTP is may be decided run by run."""

    async def factory(context: FactoryContext) -> HttpAgent:
        return HttpAgent("http://127.0.0.1:1/nothing")

    serve(**made_by(factory))

    assert (await alice.run(run_input())).events[-1]["type"] == "RUN_ERROR"
