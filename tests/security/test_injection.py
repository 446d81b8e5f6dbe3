"""Texts that try to be more than text: a second event, a second line of the log, another key."""

from __future__ import annotations

import io
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest

from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runners.database import DatabaseRunner
from tests.acting import Parrot
from tests.talk import kinds, run_input, text_of

pytestmark = pytest.mark.django_db(transaction=True)

FORGED = {"type": "RUN_ERROR", "message": "forged"}

#: What ends a line, a field or an event of a stream somewhere, with an event behind it.
ENDINGS = ("\n\n", "\r\n\r\n", "\r\r", "\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\0")
FORGERIES = [f"x{ending}data: {json.dumps(FORGED)}{ending}id: 9.9{ending}" for ending in ENDINGS]
#: Not all of them can be the id of a thread.
IDS = [text for text in FORGERIES if "\0" not in text]


@pytest.fixture(params=[InMemoryRunner, DatabaseRunner])
def runner(request) -> Any:
    return request.param()


def everywhere(text: str) -> Any:
    """An agent that puts a text into every field a client is shown."""

    async def agent(context):
        yield context.started()
        yield {"type": "STEP_STARTED", "stepName": text}
        yield {"type": "TEXT_MESSAGE_START", "messageId": text, "role": "assistant"}
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": text, "delta": text}
        yield {"type": "TEXT_MESSAGE_END", "messageId": text}
        yield {"type": "TOOL_CALL_START", "toolCallId": text, "toolCallName": text}
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": text, "delta": text}
        yield {"type": "TOOL_CALL_END", "toolCallId": text}
        yield {
            "type": "TOOL_CALL_RESULT",
            "messageId": f"{text}-result",
            "toolCallId": text,
            "content": text,
        }
        yield {"type": "STATE_SNAPSHOT", "snapshot": {text: [text, {text: text}]}}
        yield {"type": "CUSTOM", "name": text, "value": {text: text}}
        yield {"type": "RAW", "event": {text: text}, "source": text}
        yield {"type": "STEP_FINISHED", "stepName": text}
        yield {**context.finished(), "result": text}

    return agent


def assert_one_line_each(body: bytes, count: int) -> None:
    """The stream has so many events, and nothing that a parser could take for one more."""
    assert sum(line.startswith(b"data: ") for line in body.split(b"\n")) == count
    # An event stream knows three ways to end a line.
    assert b"\r" not in body
    for line in body.decode().split("\n"):
        assert line == "" or line.startswith(("data: {", "id: "))


class TestStream:
    @pytest.mark.parametrize("text", FORGERIES, ids=ascii)
    async def test_event_fields(self, serve, alice, runner, text):
        """Whatever an agent says stays within its event, live and from the history."""
        serve(agents={"default": everywhere(text)}, runner=runner)

        for answer in (
            await alice.run(run_input(), last_event_id="0.0"),
            await alice.connect(run_input()),
            await alice.connect(run_input(), last_event_id="0.0"),
        ):
            assert "RUN_ERROR" not in kinds(json_events(answer.body))
            assert text_of(json_events(answer.body)) == text
            assert_one_line_each(answer.body, len(json_events(answer.body)))

    @pytest.mark.parametrize("text", IDS, ids=ascii)
    async def test_ids(self, serve, alice, runner, text):
        """Neither do the ids a client names, where they are said again."""
        serve(runner=runner)
        wire = run_input(
            thread=text, run=text, messages=[{"id": text, "role": "user", "content": text}]
        )

        for answer in (await alice.run(wire), await alice.connect(wire)):
            events = json_events(answer.body)
            assert events[0]["threadId"] == events[0]["runId"] == text
            assert_one_line_each(answer.body, len(events))

    @pytest.mark.parametrize("text", FORGERIES, ids=ascii)
    async def test_error(self, serve, alice, text):
        """Nor do the texts of errors, where they are shown."""

        async def failing(context):
            yield context.started()
            raise RuntimeError(text)

        serve(agents={"default": failing}, expose_error_text=True)

        answer = await alice.run(run_input())

        assert_one_line_each(answer.body, 2)
        assert json_events(answer.body)[-1]["message"] == text


def json_events(body: bytes) -> list[Any]:
    """The events of a stream as a strict parser reads it."""
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data")]


@pytest.fixture
def log() -> Any:
    """Everything the package says, as it stands in a file."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    ours = logging.getLogger("copilotkit")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield stream
    ours.removeHandler(handler)
    ours.setLevel(level)


class TestLog:
    LINES = (
        "\nERROR copilotkit.run forged",
        "\r\nERROR forged",
        "\rERROR forged",
        "\x85ERROR forged",
    )

    @pytest.mark.parametrize("text", LINES, ids=ascii)
    async def test_ids(self, serve, alice, log, text):
        """What callers name, agents say and paths hold begins no line of the log."""
        odd = f"x{text}"

        async def wrong(context):
            yield {"type": odd}
            yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": odd, "delta": odd}

        serve(agents={"default": Parrot(), odd: Parrot(), "wrong": wrong})
        wire = run_input(thread=odd, run=odd)

        await alice.run(wire)
        await alice.run(wire, agent=quote(odd, safe=""))
        await alice.run(wire, agent="wrong")
        await alice.run(wire, agent=quote(f"nobody{text}", safe=""))
        await alice.ask("POST", f"/agent/default/stop/{quote(odd, safe='')}", {"runId": odd})
        await alice.ask("GET", f"/{quote(odd, safe='')}?{quote(odd, safe='')}")
        await alice.ask("POST", "", {"method": odd})

        written = log.getvalue()
        assert written
        for line in written.splitlines():
            assert not line.startswith("ERROR"), written

    async def test_content(self, serve, alice, log):
        """What people say stands in no line of it, at whatever level."""
        serve(agents={"default": Parrot()})

        await alice.run(run_input("my secret"))
        await alice.ask("PATCH", "/threads/t1", {"agentId": "default", "name": "my secret"})
        await alice.connect(run_input("my secret"))

        assert "secret" not in log.getvalue()


class TestKeys:
    #: What is not like other names in the languages that clients are written in, and in Python.
    NAMES = (
        "__proto__",
        "constructor",
        "prototype",
        "hasOwnProperty",
        "toString",
        "__class__",
        "__dict__",
        "{0.__class__}",
        "%(name)s",
        "{{ name }}",
        "${name}",
    )

    @pytest.mark.parametrize("name", NAMES)
    async def test_ids(self, serve, alice, bob, runner, name):
        """They are names like others: of threads, runs, messages, agents."""
        serve(agents={"default": Parrot(), name: Parrot()}, runner=runner)
        wire = run_input("mine", thread=name, run=name)

        assert text_of((await alice.run(wire, agent=quote(name, safe=""))).events) == "mine"

        [row] = (await alice.ask("GET", "/threads")).data["threads"]
        assert (row["id"], row["agentId"]) == (name, name)
        messages = (await alice.ask("GET", f"/threads/{quote(name, safe='')}/messages")).data
        assert [message["content"] for message in messages["messages"]] == ["mine", "mine"]
        assert (await bob.connect(wire)).events == []
        assert (await alice.ask("GET", "/info")).data["agents"].keys() == {"default", name}

    @pytest.mark.parametrize("name", NAMES)
    async def test_state(self, serve, alice, runner, name):
        """They are keys like others: what stands beside them in the state stays what it is."""
        serve(agents={"default": patching(name)}, runner=runner)

        await alice.run(run_input(state={"kept": 1}))

        state = (await alice.ask("GET", "/threads/t1/state")).data["state"]
        assert state == {"kept": 1, name: {"polluted": True}}
        assert not hasattr(object(), "polluted")


def patching(name: str) -> Any:
    pointer = name.replace("~", "~0").replace("/", "~1")

    async def agent(context):
        yield context.started()
        yield {"type": "STATE_SNAPSHOT", "snapshot": context.state}
        add = {"op": "add", "path": f"/{pointer}", "value": {}}
        deep = {"op": "add", "path": f"/{pointer}/polluted", "value": True}
        yield {"type": "STATE_DELTA", "delta": [add, deep]}
        yield context.finished()

    return agent


class TestNesting:
    @pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
    @pytest.mark.parametrize(
        "path", ["/agent/default/run", "/agent/default/connect", "/agent/default/suggest", ""]
    )
    async def test_body__deep(self, serve, alice, opening, path):
        """A body that is nested without end is a bad request, closed or not, and soon told so."""
        serve()
        closing = {b"[": b"]", b'{"a":': b"}", b'[{"a":': b"}]"}[opening]

        for body in (opening * 100_000, opening * 100_000 + b"1" + closing * 100_000):
            assert (await alice.ask("POST", path, body)).status == 400

    async def test_body__deep_inside(self, serve, alice):
        """So is one that is so in a place where anything may stand."""
        serve()
        deep = "[" * 5000 + "]" * 5000
        wire = json.dumps(run_input(state="here")).replace('"here"', deep).encode()

        assert (await alice.run(wire)).status == 400

    async def test_threads__deep(self, serve, alice):
        """Small bodies are no exception."""
        serve()
        await alice.run(run_input())

        for method, path in (("PATCH", "/threads/t1"), ("POST", "/agent/default/stop/t1")):
            assert (await alice.ask(method, path, b"[" * 100_000)).status == 400
