"""What is kept of a stream for the after middleware, and what that costs the stream."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest

from copilotkit_django import after as after_module
from copilotkit_django.after import AHEAD, StreamCopy
from copilotkit_django.asgi import get_asgi_application
from copilotkit_django.responses import EventStreamResponse
from copilotkit_django.runners.log import Batch
from tests.acting import Staged
from tests.talk import kinds, run_input, until, within

from .site import BASE, Connection, first_event, read


@pytest.fixture
def calls(serve: Any) -> list[Any]:
    """What the after middleware was called with."""
    return []


def numbered(count: int, taken: list[int]) -> Any:
    async def batches():
        for number in range(count):
            taken.append(number)
            yield Batch([b'{"type":"CUSTOM","name":"%d"}' % number])

    return batches()


async def copied(count: int, **options: Any) -> tuple[StreamCopy, list[int]]:
    """A copy that goes along with a stream of so many batches, and what it has taken of it."""
    taken: list[int] = []
    return StreamCopy(EventStreamResponse(numbered(count, taken), **options)), taken


class TestCopy:
    async def test_reader__slow(self):
        """Who reads slowly is waited for: the stream is a few batches ahead, not at its end."""
        copy, taken = await copied(1000)
        reader = copy.reader()
        await until(lambda: len(taken) > AHEAD)
        await asyncio.sleep(0)

        assert len(taken) <= AHEAD + 2
        got = [batch async for batch in reader]
        assert len(got) == 1000
        await within(copy.ended())
        assert len(copy.events) == 1000

    async def test_reader__leaves(self):
        """When it is gone the rest is followed without it."""
        copy, taken = await copied(1000)
        reader = copy.reader()
        await within(anext(reader))

        await reader.aclose()

        await within(copy.ended())
        assert len(copy.events) == len(taken) == 1000

    async def test_reader__never_begun(self):
        """So it is when nobody ever reads, and the answer is only forgotten."""
        copy, _ = await copied(1000)
        reader = copy.reader()
        await until(lambda: len(copy.events) > AHEAD)

        del reader
        gc.collect()

        await within(copy.ended())
        assert len(copy.events) == 1000

    async def test_reader__leaves_what_is_only_for_it(self):
        """What ends with its reader is not followed."""
        copy, taken = await copied(10_000, outlives_reader=False)
        reader = copy.reader()
        await within(anext(reader))

        await reader.aclose()

        await within(copy.ended())
        assert len(taken) < 100

    async def test_events__too_many(self, monkeypatch):
        """Of a stream that is too large the beginning is kept; the reader has all of it."""
        monkeypatch.setattr(after_module, "KEPT_BYTES", 1000)
        copy, _ = await copied(1000)

        got = [batch async for batch in copy.reader()]

        await within(copy.ended())
        assert len(got) == 1000
        assert copy.is_cut
        assert 0 < sum(map(len, copy.events)) <= 1000

    async def test_events__of_a_feed(self):
        """Of what has no end nothing is kept."""
        copy, _ = await copied(1000, keeps=False)

        got = [batch async for batch in copy.reader()]

        assert len(got) == 1000
        assert copy.events == []
        assert not copy.is_cut

    async def test_batches__as_they_are(self):
        """The reader has the batches themselves, with their places, and those that keep alive."""
        batches = [Batch([b"{}"], "7.", 3), Batch()]

        async def source():
            for batch in batches:
                yield batch
                await asyncio.sleep(0)

        copy = StreamCopy(EventStreamResponse(source()))

        assert [batch async for batch in copy.reader()] == batches
        assert (batches[0].prefix, batches[0].first) == ("7.", 3)

    async def test_source__fails(self):
        """A stream that breaks off breaks off for its reader, too."""

        async def source():
            yield Batch([b"{}"])
            raise RuntimeError("gone")

        copy = StreamCopy(EventStreamResponse(source()))

        assert len([batch async for batch in copy.reader()]) == 1
        await within(copy.ended())
        assert isinstance(copy._task.exception(), RuntimeError)


async def test_stream__resumed(serve, alice, calls):
    """Somebody who goes on from a cursor is given cursors, middleware or not."""
    serve(after_request_middleware=calls.append)
    await alice.run(run_input())

    answer = await alice.ask("POST", "/agent/default/connect", run_input(), last_event_id="x")

    assert answer.body.startswith(b"id: ")
    await until(lambda: len(calls) == 2)
    connected = next(after for after in calls if after.route.method == "agent/connect")
    assert connected.body == b"".join(
        line + b"\n\n"
        for line in answer.body.replace(b"\n\n", b"\n").split(b"\n")
        if b"data" in line
    )


async def test_stream__not_taken_apart(serve, alice, calls, monkeypatch):
    """Events that nobody asks for are not decoded."""
    serve(after_request_middleware=calls.append)
    decoded: list[bytes] = []
    decode = after_module.decode
    monkeypatch.setattr(
        after_module, "decode", lambda event: decoded.append(event) or decode(event)
    )

    await alice.run(run_input())
    await until(lambda: bool(calls))

    assert decoded == []
    assert calls[0].run_id == "r1"
    assert len(decoded) == 1
    assert calls[0].events is calls[0].events
    assert kinds(calls[0].events)[-1] == "RUN_FINISHED"


async def test_feed__ends_with_its_listener(serve, alice, calls):
    """The debug feed costs nothing that grows, and its after is told of its end."""
    runtime = serve(
        authentication="anonymous-shared", debug_events=True, after_request_middleware=calls.append
    )
    application = get_asgi_application()
    listening = Connection(application, f"{BASE}/cpk-debug-events", method="GET")
    assert await listening.begin() == 200
    await until(lambda: len(runtime.endpoint.debug_feed._listeners) == 1)

    await alice.run(run_input())
    while b"RUN_STARTED" not in await listening.chunk():
        pass
    await listening.leave()

    await until(lambda: len(calls) == 2)
    fed = next(after for after in calls if after.route.method == "cpk-debug-events")
    assert (fed.events, fed.body, fed.is_cut) == ([], b"", False)
    assert not runtime.endpoint.debug_feed._listeners


async def test_run__client_leaves(serve, alice, calls):
    """A run whose client has left is told of whole."""
    agent = Staged()
    serve(agents={"default": agent}, after_request_middleware=calls.append)
    rest = await first_event(await alice.open("POST", "/agent/default/run", run_input()))

    await rest.aclose()
    agent.cue.set()

    await until(lambda: bool(calls))
    assert kinds(calls[0].events)[-1] == "RUN_FINISHED"


async def test_suggestion__client_leaves(serve, alice, calls):
    """A suggestion ends with its client, and is told of as far as it went."""
    agent = Staged()
    serve(agents={"default": agent}, after_request_middleware=calls.append)
    body = json.dumps(run_input()).encode()
    connection = Connection(
        get_asgi_application(), f"{BASE}/agent/default/suggest", body, headers=alice.headers
    )
    assert await connection.begin() == 200
    while b"TEXT_MESSAGE_CONTENT" not in await connection.chunk():
        pass

    await connection.leave()

    await within(agent.cancelled.wait())
    await until(lambda: bool(calls))
    assert "TEXT_MESSAGE_CONTENT" in kinds(calls[0].events)


async def test_answer__read_twice(serve, alice, calls):
    """What was answered may be read again, a stream and a JSON body alike."""
    serve(after_request_middleware=calls.append)
    stream = await read(await alice.open("POST", "/agent/default/run", run_input()))
    plain = await alice.ask("GET", "/info")

    await until(lambda: len(calls) == 2)
    assert {after.body for after in calls} == {stream.body, plain.body}
    assert {after.body for after in calls} == {stream.body, plain.body}
