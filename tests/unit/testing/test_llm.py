"""The fake providers, as the real clients of the providers see them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types

from copilotkit_django.testing import (
    Answer,
    Drop,
    Fail,
    FakeLLM,
    Reasoning,
    Refuse,
    Text,
    ToolCall,
    Usage,
    Wait,
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass
class Heard:
    """What a client understood of an answer."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, dict, str]] = field(default_factory=list)
    usage: tuple[int, int] | None = None
    chunks: int = 0


class Client:
    """A real client of a provider: one question, with a tool, streamed or not."""

    def __init__(self, llm: FakeLLM, **options) -> None:
        self.llm = llm
        self.options = options

    async def ask(self, text: str, *, stream: bool = True) -> Heard:
        async with self.asking(text, stream=stream) as heard:
            async for _ in heard:
                pass
            return self.heard

    @asynccontextmanager
    async def asking(self, text: str, *, stream: bool = True) -> AsyncIterator[AsyncIterator]:
        self.heard = Heard()
        answer = self.answer(text, stream)
        try:
            yield answer
        finally:
            await answer.aclose()

    async def answer(self, text: str, stream: bool) -> AsyncIterator[None]:
        raise NotImplementedError
        yield


class Completions(Client):
    provider = "openai"
    error = openai.APIError
    status = openai.APIStatusError

    async def answer(self, text, stream):
        heard = self.heard
        async with openai.AsyncOpenAI(
            base_url=self.llm.base_url(), api_key="k", **self.options
        ) as client:
            answer = await client.chat.completions.create(
                model="gpt-9",
                messages=[
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": text}]},
                ],
                tools=[
                    {
                        "type": "function",
                        "function": {"name": "weather", "description": "W.", "parameters": SCHEMA},
                    }
                ],
                tool_choice={"type": "function", "function": {"name": "weather"}},
                **(dict(stream=True, stream_options={"include_usage": True}) if stream else {}),
            )
            if not stream:
                message = answer.choices[0].message
                heard.text = message.content or ""
                heard.reasoning = getattr(message, "reasoning_content", "")
                heard.calls = [
                    (c.function.name, json.loads(c.function.arguments), c.id)
                    for c in message.tool_calls or []
                ]
                heard.usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
                return
            calls: dict[int, list[str]] = {}
            async for chunk in answer:
                heard.chunks += 1
                if chunk.usage:
                    heard.usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                for choice in chunk.choices:
                    heard.text += choice.delta.content or ""
                    heard.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                    for call in choice.delta.tool_calls or []:
                        known = calls.setdefault(call.index, [call.function.name, "", call.id])
                        known[1] += call.function.arguments
                yield
            heard.calls = [(name, json.loads(args), id) for name, args, id in calls.values()]


class Responses(Client):
    provider = "openai-responses"
    error = openai.APIError
    status = openai.APIStatusError

    async def answer(self, text, stream):
        heard = self.heard
        async with openai.AsyncOpenAI(
            base_url=self.llm.base_url(), api_key="k", **self.options
        ) as client:
            asked = dict(
                model="gpt-9",
                instructions="Be brief.",
                input=[{"role": "user", "content": [{"type": "input_text", "text": text}]}],
                tools=[
                    {
                        "type": "function",
                        "name": "weather",
                        "description": "W.",
                        "parameters": SCHEMA,
                        "strict": False,
                    }
                ],
                tool_choice={"type": "function", "name": "weather"},
            )
            if stream:
                async with client.responses.stream(**asked) as answer:
                    async for event in answer:
                        heard.chunks += 1
                        if event.type == "response.failed":
                            raise openai.APIError(event.response.error.message, None, body=None)
                        yield
                    response = await answer.get_final_response()
            else:
                response = await client.responses.create(**asked)
        heard.text = response.output_text
        for item in response.output:
            if item.type == "reasoning":
                heard.reasoning += "".join(summary.text for summary in item.summary)
            if item.type == "function_call":
                heard.calls.append((item.name, json.loads(item.arguments), item.call_id))
        heard.usage = (response.usage.input_tokens, response.usage.output_tokens)


class Messages(Client):
    provider = "anthropic"
    error = anthropic.APIError
    status = anthropic.APIStatusError

    async def answer(self, text, stream):
        heard = self.heard
        url = self.llm.base_url("anthropic")
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k") as client:
            asked = dict(
                model="claude-9",
                max_tokens=100,
                system="Be brief.",
                messages=[{"role": "user", "content": text}],
                tools=[{"name": "weather", "description": "W.", "input_schema": SCHEMA}],
                tool_choice={"type": "tool", "name": "weather"},
            )
            if stream:
                async with client.messages.stream(**asked) as answer:
                    async for _ in answer:
                        heard.chunks += 1
                        yield
                    message = await answer.get_final_message()
            else:
                message = await client.messages.create(**asked)
        for block in message.content:
            match block.type:
                case "text":
                    heard.text += block.text
                case "thinking":
                    heard.reasoning += block.thinking
                case "tool_use":
                    heard.calls.append((block.name, block.input, block.id))
        heard.usage = (message.usage.input_tokens, message.usage.output_tokens)


class Gemini(Client):
    provider = "google"
    error = google_errors.APIError
    status = google_errors.APIError

    async def answer(self, text, stream):
        heard = self.heard
        client = genai.Client(
            api_key="k", http_options=types.HttpOptions(base_url=self.llm.base_url("google"))
        )
        weather = types.FunctionDeclaration(
            name="weather", description="W.", parameters_json_schema=SCHEMA
        )
        choice = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"])
        asked = dict(
            model="gemini-9",
            contents=text,
            config=types.GenerateContentConfig(
                system_instruction="Be brief.",
                tools=[types.Tool(function_declarations=[weather])],
                tool_config=types.ToolConfig(function_calling_config=choice),
            ),
        )
        try:
            if stream:
                async for content in await client.aio.models.generate_content_stream(**asked):
                    heard.chunks += 1
                    self.take(content)
                    yield
            else:
                self.take(await client.aio.models.generate_content(**asked))
        finally:
            await client.aio.aclose()

    def take(self, content):
        for part in content.candidates[0].content.parts:
            if part.function_call:
                call = part.function_call
                self.heard.calls.append((call.name, call.args, call.id))
            elif part.thought:
                self.heard.reasoning += part.text
            else:
                self.heard.text += part.text
        if known := content.usage_metadata:
            self.heard.usage = (known.prompt_token_count, known.candidates_token_count)


CLIENTS = [Completions, Responses, Messages, Gemini]

each_client = pytest.mark.parametrize("make", CLIENTS, ids=lambda make: make.provider)
streamed_or_not = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as llm:
        yield llm


@streamed_or_not
@each_client
async def test_answer__everything(llm, make, stream):
    """Reasoning, text, two calls and usage arrive as they were scripted."""
    llm.script = lambda prompt: Answer(
        [
            Reasoning("Hm, let me see. "),
            Text("One — two  three."),
            ToolCall("weather", {"city": "Zürich", "days": [1, 2]}),
            ToolCall("weather", {"city": "Rome"}, id="mine"),
        ],
        usage=Usage(21, 42),
    )

    heard = await make(llm).ask("Hello?", stream=stream)

    assert heard.reasoning == "Hm, let me see. "
    assert heard.text == "One — two  three."
    assert heard.calls == [
        ("weather", {"city": "Zürich", "days": [1, 2]}, "call_1_2"),
        ("weather", {"city": "Rome"}, "mine"),
    ]
    assert heard.usage == (21, 42)
    if stream:
        assert heard.chunks > 7


@streamed_or_not
@each_client
async def test_prompt__parsed(llm, make, stream):
    """What a model is asked reads the same, whichever provider is asked."""
    await make(llm).ask("Is it wet?", stream=stream)

    [prompt] = llm.wait()
    assert prompt.provider == make.provider
    assert prompt.model in {"gpt-9", "claude-9", "gemini-9"}
    assert prompt.system == "Be brief."
    assert prompt.last_user_text == "Is it wet?"
    assert [(m.role, m.text) for m in prompt.messages] == [("user", "Is it wet?")]
    assert prompt.tools == [{"name": "weather", "description": "W.", "parameters": SCHEMA}]
    assert prompt.tool_choice == "weather"
    assert prompt.stream is stream
    assert "content-type" in prompt.headers
    assert await asyncio.to_thread(prompt.wait)
    assert not prompt.disconnected


@streamed_or_not
@each_client
async def test_refuse__status(llm, make, stream):
    """A refusal is the client's own error with the status, without a second try."""
    llm.script = lambda prompt: Refuse(403, "Not you.")

    with pytest.raises(make.status, match="Not you") as caught:
        await make(llm).ask("Hello?", stream=stream)

    assert getattr(caught.value, "status_code", None) or caught.value.code == 403
    assert len(llm.prompts) == 1


@each_client
async def test_fail__midstream(llm, make):
    """A model that breaks down in the middle has said something before."""
    llm.script = lambda prompt: [Text("One two"), Fail("Too many people.")]
    client = make(llm)

    with pytest.raises(client.error, match="Too many people"):
        await client.ask("Hello?")

    assert client.heard.chunks > 1


@each_client
async def test_drop__midstream(llm, make):
    """A dropped connection is an error of the connection."""
    llm.script = lambda prompt: [Text("One two"), Drop()]
    client = make(llm)

    # Some clients wrap what their HTTP library raises, some do not.
    with pytest.raises(Exception, match=r"Connection error|incomplete chunked read"):
        await client.ask("Hello?")

    assert client.heard.chunks > 0


@each_client
async def test_wait__until_the_gate_opens(llm, make):
    """Nothing more comes until the gate is open."""
    gate = threading.Event()
    llm.script = lambda prompt: [Text("One "), Wait(gate), Text("two")]
    client = make(llm)

    async with client.asking("Hello?") as answer:
        await asyncio.wait_for(anext(answer), 10)
        [prompt] = llm.prompts
        assert not prompt.wait(0)
        gate.set()
        async for _ in answer:
            pass

    assert client.heard.text == "One two"


@each_client
async def test_disconnect__seen(llm, make):
    """The server notices that its client went away in the middle."""
    llm.script = lambda prompt: [Text("One "), Wait(threading.Event())]

    async with make(llm).asking("Hello?") as answer:
        await asyncio.wait_for(anext(answer), 10)

    [prompt] = llm.prompts
    assert await asyncio.to_thread(prompt.wait)
    assert prompt.disconnected


async def test_disconnect__while_speaking(llm):
    """It notices that too while it has a lot to say."""
    llm.script = lambda prompt: Answer([Text("word " * 10_000)], delay=0.005)

    async with Completions(llm).asking("Hello?") as answer:
        await asyncio.wait_for(anext(answer), 10)

    [prompt] = llm.prompts
    assert await asyncio.to_thread(prompt.wait)
    assert prompt.disconnected
    assert prompt.sent < 5_000


async def test_tool_call__whole(llm):
    """A call can come in one chunk, as some providers that speak like OpenAI send it."""
    city = {"city": "A place with a long name"}
    llm.script = lambda prompt: ToolCall("weather", city, whole=True)

    async with openai.AsyncOpenAI(base_url=llm.base_url(), api_key="k") as client:
        chunks = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "?"}], stream=True
        )
        deltas = [chunk.choices[0].delta.tool_calls async for chunk in chunks]

    [[call]] = filter(None, deltas)
    assert json.loads(call.function.arguments) == city


@each_client
@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Hello there", Heard(text="You said: Hello there")),
        ("think Yes it is", Heard(text="Yes it is", reasoning="They say: Yes it is")),
        (
            'call weather {"city": "Rome"}\ncall clock',
            Heard(
                calls=[("weather", {"city": "Rome"}, "call_1_0"), ("clock", {}, "call_1_1")],
            ),
        ),
    ],
    ids=["text", "think", "calls"],
)
async def test_default_script__user(llm, make, said, heard):
    """Without a script the last message says what to do."""
    answer = await make(llm).ask(said)

    assert (answer.text, answer.reasoning, answer.calls) == (
        heard.text,
        heard.reasoning,
        heard.calls,
    )


@pytest.mark.parametrize("said", ["refuse 500", "fail", "fail Well", "drop", "drop Well"])
async def test_default_script__trouble(llm, said):
    """It says so too when something should go wrong."""
    with pytest.raises(openai.APIError):
        await Completions(llm, max_retries=0).ask(said)


HISTORIES = {
    "/v1/chat/completions": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Where?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": id, "type": "function", "function": {"name": id, "arguments": args}}
                    for id, args in (("a", '{"n": 1}'), ("b", "{}"))
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "Here"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "There"}]},
        ],
    },
    "/v1/responses": {
        "model": "m",
        "input": [
            {"role": "user", "content": "Where?"},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Let me look."}],
            },
            {"type": "function_call", "call_id": "a", "name": "a", "arguments": '{"n": 1}'},
            {"type": "function_call", "call_id": "b", "name": "b", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "Here"},
            {"type": "function_call_output", "call_id": "b", "output": "There"},
        ],
    },
    "/v1/messages": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Where?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "a", "name": "a", "input": {"n": 1}},
                    {"type": "tool_use", "id": "b", "name": "b", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": "Here"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "b",
                        "content": [{"type": "text", "text": "There"}],
                    },
                ],
            },
        ],
    },
    "/v1beta/models/m:generateContent": {
        "contents": [
            {"role": "user", "parts": [{"text": "Where?"}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Let me look."},
                    {"functionCall": {"id": "a", "name": "a", "args": {"n": 1}}},
                    {"functionCall": {"id": "b", "name": "b", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "a", "name": "a", "response": {"result": "Here"}}},
                    {"functionResponse": {"name": "b", "response": {"output": "There"}}},
                ],
            },
        ]
    },
}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.rpartition("/")[2])
async def test_prompt__history(llm, path):
    """Calls and results in a history are read, and results are what the model goes on from."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(llm.url + path, json=HISTORIES[path])

    [prompt] = llm.prompts
    assert answer.status_code == 200
    assert "The tool said: Here, There" in answer.text
    assert [(m.role, m.text) for m in prompt.messages] == [
        ("user", "Where?"),
        ("assistant", "Let me look."),
        ("tool", "Here"),
        ("tool", "There"),
    ]
    assert [(c.name, c.arguments) for c in prompt.messages[1].tool_calls] == [
        ("a", {"n": 1}),
        ("b", {}),
    ]
    assert [result.tool_call_id for result in prompt.tool_results] == ["a", "b"]


async def test_environment__clients_find_it(llm, monkeypatch):
    """With the variables set, the clients need no address."""
    for key, value in llm.environment().items():
        monkeypatch.setenv(key, value)

    async with openai.AsyncOpenAI() as one, anthropic.AsyncAnthropic() as two:
        await one.responses.create(model="a", input="Hello?")
        await two.messages.create(
            model="b", max_tokens=9, messages=[{"role": "user", "content": "Hello?"}]
        )
    three = genai.Client()
    await three.aio.models.generate_content(model="c", contents="Hello?")
    await three.aio.aclose()
    three.close()

    assert [prompt.model for prompt in llm.prompts] == ["a", "b", "c"]


async def test_concurrent__fifty(llm):
    """Fifty at once are answered together, each what it asked."""
    gate = threading.Event()
    llm.script = lambda prompt: [Wait(gate), Text(prompt.last_user_text)]

    asked = [asyncio.create_task(Completions(llm).ask(f"n{n}")) for n in range(50)]
    await asyncio.to_thread(llm.wait, 50, 30)
    gate.set()

    heard = await asyncio.wait_for(asyncio.gather(*asked), 30)
    assert [each.text for each in heard] == [f"n{n}" for n in range(50)]


def test_script__raises():
    """A script that fails is not overlooked."""

    def script(prompt):
        raise LookupError("No such scene")

    with pytest.raises(LookupError, match="No such scene"):
        post_to(FakeLLM(script), b'{"messages": []}', expect=500)


def test_request__not_understood():
    """Neither is a request that is none."""
    with pytest.raises(ValueError, match="Expecting"):
        post_to(FakeLLM(), b"what?", expect=400)


def post_to(llm, content, *, expect):
    """Ask once, from beginning to end of the server."""
    with llm:
        answer = httpx.post(f"{llm.base_url()}/chat/completions", content=content)
        assert answer.status_code == expect


def test_path__unknown(llm):
    """What is nowhere is told so."""
    assert httpx.post(f"{llm.url}/v1/embeddings", json={}).status_code == 404


def test_stop__cuts_what_is_open():
    """The end of the server ends who waits for it, and its threads."""
    before = set(threading.enumerate())
    llm = FakeLLM(lambda prompt: [Text("One"), Wait(threading.Event(), timeout=60)])
    llm.start()

    with httpx.stream("POST", f"{llm.base_url()}/responses", json={"stream": True}) as answer:
        chunks = answer.iter_bytes()
        next(chunks)
        llm.stop()
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)

    # Those of other tests may have ended meanwhile.
    assert set(threading.enumerate()) <= before
    with pytest.raises(RuntimeError, match="not been started"):
        _ = llm.url
    with pytest.raises(TimeoutError):
        llm.wait(2, timeout=0)


def test_base_url__unknown(llm):
    """A provider that is not there is an error at once."""
    with pytest.raises(ValueError, match="mistral"):
        llm.base_url("mistral")


def test_request__left_in_the_middle():
    """A client that goes away while it asks has asked nothing, and nothing is wrong."""
    with FakeLLM() as llm:
        address = urlsplit(llm.url)
        with socket.create_connection((address.hostname, address.port), 5) as client:
            head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 1000\r\n\r\n"
            client.sendall(head + b'{"model": ')
            client.shutdown(socket.SHUT_WR)
            client.settimeout(5)
            assert client.recv(1000) == b""

    assert llm.prompts == []
    assert llm.errors == []
