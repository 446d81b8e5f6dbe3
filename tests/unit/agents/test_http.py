"""Agents behind any AG-UI endpoint, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from copilotkit_django.agents import HttpAgent, RunContext, RunInput
from copilotkit_django.agents.http import RemoteAgentError, events
from copilotkit_django.runners import RunPolicy
from tests.talk import collect, kinds, run_input, text_of, until, within
from tests.unit.runners.requests import events_of, started

from .upstream import STREAM_HEAD, answering, frame, upstream

IDS = {"threadId": "t1", "runId": "r1"}
EVENTS = [
    {"type": "RUN_STARTED", **IDS},
    {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "héllo 日本 👩\u200d💻"},
    {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
    {"type": "RUN_FINISHED", **IDS},
]
STREAM = b"".join(map(frame, EVENTS))
HALF = b"".join(map(frame, EVENTS[:3]))


def context_of(headers=None, **fields):
    return RunContext(
        RunInput.from_wire(run_input(**fields)), agent_id="default", headers=headers or {}
    )


async def pieces(*chunks):
    for chunk in chunks:
        yield chunk


async def parsed(*chunks):
    return [event async for event in events(pieces(*chunks))]


async def run(agent, **options):
    return [event async for event in agent.run(context_of(**options))]


class TestStream:
    async def test_events__whole(self):
        """One chunk, or several events in one."""
        assert await parsed(STREAM) == EVENTS

    @pytest.mark.parametrize("stream", [STREAM, STREAM.replace(b"\n", b"\r\n")])
    async def test_events__cut_at_every_byte(self, stream):
        """Wherever the network cuts the stream, the events are the same."""
        for cut in range(len(stream) + 1):
            assert await parsed(stream[:cut], stream[cut:]) == EVENTS

    @pytest.mark.parametrize("stream", [STREAM, STREAM.replace(b"\n", b"\r\n")])
    async def test_events__byte_by_byte(self, stream):
        """Even single bytes make events."""
        assert await parsed(*(bytes([byte]) for byte in stream)) == EVENTS

    async def test_events__mixed_line_ends(self):
        """A proxy may change line ends in the middle."""
        stream = frame(EVENTS[0]) + frame(EVENTS[1], b"\r\n") + b"data: {}\r\n\ndata: {}\n\r\n"

        assert await parsed(stream) == [*EVENTS[:2], {}, {}]

    async def test_events__no_end_of_last_block(self):
        """The last event counts without its empty line."""
        assert await parsed(STREAM.rstrip()) == EVENTS

    async def test_events__other_fields(self):
        """Comments, ids, event names, retry times and empty data are no events."""
        stream = (
            b"\xef\xbb\xbf: hello\n\nevent: message\nid: 7\nretry: 10\ndata: {}\n\n"
            b": ping\n\ndata:\n\ndatagram: x\n\n\n\nevent: end\n\n"
        )

        assert await parsed(stream) == [{}]

    async def test_events__no_space_and_several_lines(self):
        """The space after the colon is optional; data over several lines is one event."""
        assert await parsed(b'data:{"a":\ndata: 1}\n\n') == [{"a": 1}]

    @pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
    async def test_events__line_end_of_other_kind(self, mark):
        """Only CR and LF end a line: other marks that some call line ends are text."""
        event = {"delta": f"a{mark}b"}
        stream = b"data: " + json.dumps(event, ensure_ascii=mark < " ").encode() + b"\n\n"

        assert await parsed(stream) == [event]

    async def test_events__huge_event(self):
        """A large event in small chunks is taken in reasonable time."""
        event = {"delta": "x" * 5_000_000}
        stream = frame(event)
        chunks = [stream[start : start + 16_384] for start in range(0, len(stream), 16_384)]

        assert await within(parsed(*chunks)) == [event]

    async def test_events__too_large(self, monkeypatch):
        """An event without an end does not fill the memory."""
        monkeypatch.setattr("copilotkit_django.agents.http.MAX_EVENT_BYTES", 1000)

        with pytest.raises(RemoteAgentError, match="larger than 1000"):
            await parsed(*[b"data: " + b"x" * 100] * 20)

    @pytest.mark.parametrize(
        "data", [b"nonsense", b"[1]", b"7", b"null", b'"text"', b"{", b"[DONE]"]
    )
    async def test_events__not_an_event(self, data):
        """Data that is no JSON object is an error, not something to skip."""
        with pytest.raises(RemoteAgentError):
            await parsed(b"data: " + data + b"\n\n")


class TestRequest:
    async def test_run__what_is_sent(self):
        """The input of the run is posted as it came, as JSON, asking for an event stream."""
        async with upstream(answering(STREAM_HEAD, STREAM)) as server:
            assert await run(HttpAgent(server.url), parentRunId="r0") == EVENTS

        (exchange,) = server.exchanges
        assert exchange.head.startswith("POST /agent ")
        assert exchange.headers["content-type"] == "application/json"
        assert exchange.headers["accept"] == "text/event-stream"
        assert json.loads(exchange.body) == run_input(parentRunId="r0")

    async def test_run__headers(self):
        """Forwarded headers are sent; the agent's own win, whatever their case."""
        agent_headers = {"AUTHORIZATION": "own", "authorization": "second", "X-Own": "1"}
        forwarded = {"authorization": "caller", "x-tenant": "acme"}
        async with upstream(answering(STREAM_HEAD, STREAM)) as server:
            await run(HttpAgent(server.url, headers=agent_headers), headers=forwarded)

        headers = server.exchanges[0].headers
        assert headers["authorization"] == "own"
        assert headers["x-tenant"] == "acme"
        assert headers["x-own"] == "1"
        assert "cookie" not in headers

    async def test_run__header_beyond_ascii(self):
        """A forwarded value keeps the bytes it came with, as ASGI servers decode them."""
        sent = "J\u00fcrgen".encode()
        async with upstream(answering(STREAM_HEAD, STREAM)) as server:
            await run(HttpAgent(server.url), headers={"x-name": sent.decode("latin-1")})

        assert server.exchanges[0].headers["x-name"].encode("latin-1") == sent

    @pytest.mark.parametrize("text", ["half \ud83d", "\0", "\u2028"])
    async def test_run__any_text(self, text):
        """What a browser may send reaches the endpoint, half an emoji included."""
        async with upstream(answering(STREAM_HEAD, STREAM)) as server:
            await run(HttpAgent(server.url), text=text)

        assert json.loads(server.exchanges[0].body)["messages"][0]["content"] == text

    def test_clone__nothing_to_share(self):
        """An agent that holds no state is its own clone."""
        agent = HttpAgent("http://127.0.0.1:1/")

        assert agent.clone() is agent


class TestRun:
    async def test_run__happy(self):
        """A whole run of a remote agent is a whole run here."""
        async with upstream(answering(STREAM_HEAD, STREAM)) as server:
            events = await events_of(started(HttpAgent(server.url)))

        assert kinds(events) == kinds(EVENTS)
        assert text_of(events) == EVENTS[2]["delta"]

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\nsecret",
            b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<p/>",
            b"not http at all\r\n\r\n",
            b"",
        ],
    )
    async def test_run__refused(self, answer, caplog):
        """Any answer that is no event stream ends the run with one error that tells no secrets."""
        with caplog.at_level(logging.CRITICAL):
            async with upstream(answering(answer)) as server:
                events = await events_of(started(HttpAgent(server.url)))

        assert kinds(events) == ["RUN_ERROR"]
        assert "secret" not in str(events)

    async def test_run__long_error_answer(self, caplog):
        """Of an endless error page only the beginning is read, for the log."""

        async def endless(exchange):
            await exchange.send(b"HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n")
            while True:
                await exchange.send(b"x" * 10_000)

        with caplog.at_level(logging.ERROR):
            async with upstream(endless) as server:
                events = await events_of(started(HttpAgent(server.url)))

        assert kinds(events) == ["RUN_ERROR"]
        assert "HTTP 500" in caplog.text
        assert len(caplog.text) < 50_000

    async def test_run__nobody_listens(self):
        """An endpoint that is down is an error, too."""
        events = await events_of(started(HttpAgent("http://127.0.0.1:1/")))

        assert kinds(events) == ["RUN_ERROR"]

    async def test_run__cut(self):
        """A connection cut in the middle closes what was open."""

        async def cutting(exchange):
            body = b"%x\r\n%b\r\n" % (len(HALF), HALF)
            head = STREAM_HEAD[:-2] + b"transfer-encoding: chunked\r\n\r\n"
            await exchange.send(head, body)
            exchange.cut()

        async with upstream(cutting) as server:
            events = await events_of(started(HttpAgent(server.url)))

        assert kinds(events)[-1] == "RUN_ERROR"
        assert "TEXT_MESSAGE_START" not in kinds(events) or "TEXT_MESSAGE_END" in kinds(events)

    async def test_run__ends_without_end(self):
        """A stream that ends properly, but before its run, is completed with an error."""
        async with upstream(answering(STREAM_HEAD, HALF)) as server:
            events = await events_of(started(HttpAgent(server.url)))

        assert kinds(events) == [*kinds(EVENTS)[:4], "RUN_ERROR"]

    async def test_run__nonsense_in_the_middle(self):
        """A malformed event ends the run, and what was said before it stays."""
        async with upstream(answering(STREAM_HEAD, HALF, b"data: nonsense\n\n")) as server:
            events = await events_of(started(HttpAgent(server.url)))

        assert text_of(events) == EVENTS[2]["delta"]
        assert kinds(events)[-1] == "RUN_ERROR"

    async def test_run__stopped(self):
        """Stopping a run closes the connection, so that the remote agent learns of it.

        The run ends like any request that was aborted; nothing of it is made up.
        """
        left = asyncio.Event()

        async def hanging(exchange):
            await exchange.send(STREAM_HEAD, HALF)
            await exchange.client_left()
            left.set()

        async with upstream(hanging) as server:
            # It is given the time that closing a connection takes.
            task = started(HttpAgent(server.url), policy=RunPolicy(stop_grace=60, idle=None))
            reader = task.log.read()
            seen = 0
            while seen < 3:
                seen += len(await within(anext(reader)))
            task.stop()
            events = await events_of(task)
            await within(left.wait())

        assert kinds(events) == [*kinds(EVENTS[:3]), "RUN_ERROR"]
        assert events[-1]["code"] == "abort"
        assert text_of(events) == EVENTS[2]["delta"]
        await reader.aclose()

    async def test_run__stopped_after_its_end(self):
        """An endpoint that ends its run and not its answer has said all there is to say."""

        async def hanging(exchange):
            await exchange.send(STREAM_HEAD, STREAM)
            await exchange.client_left()

        async with upstream(hanging) as server:
            task = started(HttpAgent(server.url))
            await until(lambda: task.pipeline.held is not None)
            task.stop()
            events = await events_of(task)

        assert kinds(events) == kinds(EVENTS)

    async def test_run__cancelled(self):
        """A run that is cancelled for another reason does not say that somebody stopped it."""

        async def hanging(exchange):
            await exchange.send(STREAM_HEAD, HALF)
            await exchange.client_left()

        async with upstream(hanging) as server:
            task = started(HttpAgent(server.url))
            reader = task.log.read()
            seen = 0
            while seen < 3:
                seen += len(await within(anext(reader)))
            task.cancel()
            events = await events_of(task)

        assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
        assert events[-1]["code"] == "INCOMPLETE_STREAM"
        await reader.aclose()

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_run__redirect(self, status):
        """Redirects are not followed: they would carry credentials elsewhere."""
        async with upstream(answering(STREAM_HEAD, STREAM)) as elsewhere:
            head = f"HTTP/1.1 {status} Moved\r\nlocation: {elsewhere.url}\r\ncontent-length: 0\r\n"
            async with upstream(answering(head.encode() + b"\r\n")) as server:
                agent = HttpAgent(server.url, headers={"authorization": "secret"})
                events = await events_of(started(agent))

        assert kinds(events) == ["RUN_ERROR"]
        assert elsewhere.exchanges == []

    async def test_run__silence(self):
        """An agent may be silent for longer than connecting may take; a timeout can be set."""

        async def silent(exchange):
            await exchange.send(STREAM_HEAD)
            await exchange.client_left()

        async with upstream(silent) as server:
            events = await within(collect(started(HttpAgent(server.url, timeout=0.05)).log.read()))

        assert kinds(events) == ["RUN_ERROR"]
