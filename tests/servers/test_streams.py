"""Streams as a browser sees them, on the servers a site runs on."""

import asyncio
import time

import pytest

from tests.servers.http import PATIENCE, Answer, connect, event_of, request, run_input
from tests.servers.process import PLAIN, ServerProcess
from tests.servers.streams import assert_complete, types_of

RUN = "/api/copilotkit/agent/{}/run"
CONNECT = "/api/copilotkit/agent/{}/connect"

#: Longer than the official client waits for headers.
SILENT_SECONDS = 12

TEXT_RUN = ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "RUN_FINISHED"]


@pytest.fixture(scope="module")
def plain(start) -> ServerProcess:
    """The project behind Django's own handler."""
    return start("uvicorn", PLAIN).wait_until_ready()


async def open_gate(port: int, thread_id: str, count: int = 1) -> None:
    async with connect(port) as connection:
        await connection.send(request("GET", f"/gate/{thread_id}/{count}"))
        assert (await connection.answer()).status == 200


async def next_event(frames):
    async with asyncio.timeout(PATIENCE):
        async for frame in frames:
            if not frame.startswith(b":"):
                return event_of(frame)
    return None


async def rest_of(answer: Answer):
    async with asyncio.timeout(PATIENCE):
        return [event async for event in answer.events()]


class TestHeaders:
    async def test_agent_is_silent(self, uvicorn, daphne):
        """The headers are on the wire long before the agent has anything to say."""

        async def seconds_until_event(port: int) -> float:
            async with connect(port) as connection:
                body = run_input("silent", seconds=SILENT_SECONDS, gate=1)
                begin = time.monotonic()
                answer = await connection.post(RUN.format("silent"), body)
                assert answer.status == 200
                assert answer.content_type == "text/event-stream"
                # Only now may the agent speak.
                await open_gate(port, "silent")
                assert (await next_event(answer.frames()))["type"] == "RUN_STARTED"
                return time.monotonic() - begin

        for seconds in await asyncio.gather(*map(seconds_until_event, (uvicorn.port, daphne.port))):
            assert seconds > SILENT_SECONDS - 1

    async def test_for_proxies(self, server):
        """No proxy on the way holds the stream back."""
        async with connect(server.port) as connection:
            answer = await connection.post(RUN.format("default"), run_input("proxies"))
            await answer.body()

        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"


class TestEvents:
    async def test_flushed_at_once(self, server):
        """Each event reaches the client while the agent waits to be allowed the next one."""
        async with connect(server.port) as connection:
            body = run_input("flushed", count=3)
            frames = (await connection.post(RUN.format("gated"), body)).frames()
            assert (await next_event(frames))["type"] == "RUN_STARTED"
            assert (await next_event(frames))["type"] == "TEXT_MESSAGE_START"
            for number in range(3):
                await open_gate(server.port, "flushed")
                assert (await next_event(frames))["delta"] == f"part {number} "
            assert (await next_event(frames))["type"] == "TEXT_MESSAGE_END"
            assert (await next_event(frames))["type"] == "RUN_FINISHED"
            assert await next_event(frames) is None

    async def test_flushed_at_once__compressed(self, server):
        """A client that takes gzip, and stops at the end of a gzip member, misses nothing."""
        async with connect(server.port) as connection:
            body = run_input("compressed", count=2)
            answer = await connection.post(RUN.format("gated"), body, accept_encoding="gzip")
            frames = answer.frames()
            assert (await next_event(frames))["type"] == "RUN_STARTED"
            assert (await next_event(frames))["type"] == "TEXT_MESSAGE_START"
            for number in range(2):
                await open_gate(server.port, "compressed")
                assert (await next_event(frames))["delta"] == f"part {number} "

    async def test_silence__filled_with_comments(self, uvicorn, daphne):
        """A silent stream is kept alive by comments, which are no events."""

        async def listen(port: int) -> tuple[list[bytes], list[bytes]]:
            async with connect(port) as connection:
                body = run_input("talkative", gate=1)
                answer = await connection.post("/api/talkative/agent/silent/run", body)
                frames = answer.frames()
                async with asyncio.timeout(PATIENCE):
                    silence = [await anext(frames) for _ in range(2)]
                    await open_gate(port, "talkative")
                    return silence, [frame async for frame in frames]

        for silence, rest in await asyncio.gather(*map(listen, (uvicorn.port, daphne.port))):
            events = [frame for frame in rest if not frame.startswith(b":")]
            assert all(frame.startswith(b":") for frame in silence)
            assert types_of(map(event_of, events)) == ["RUN_STARTED", "RUN_FINISHED"]


class TestTwoClients:
    async def test_disconnect__run_goes_on(self, server):
        """A client that leaves takes nothing with it: connect finds the run complete."""
        async with connect(server.port) as connection:
            answer = await connection.post(RUN.format("gated"), run_input("left", count=2))
            await next_event(answer.frames())
            connection.abort()

        await open_gate(server.port, "left", 2)

        async with connect(server.port) as connection:
            answer = await connection.post(CONNECT.format("gated"), run_input("left"))
            events = await rest_of(answer)
        assert_complete(events)
        assert events[-1]["type"] == "RUN_FINISHED"
        text = "".join(event.get("delta", "") for event in events)
        assert text == "part 0 part 1 "

    async def test_stop__from_another_connection(self, server):
        """Stop ends the stream of whoever follows the run, and ends it properly."""
        async with connect(server.port) as following, connect(server.port) as stopping:
            answer = await following.post(RUN.format("endless"), run_input("stopped"))
            frames = answer.frames()
            events = [await next_event(frames), await next_event(frames)]

            stop = await stopping.post("/api/copilotkit/agent/endless/stop/stopped", {})
            assert (await stop.json())["stopped"] is True

            while event := await next_event(frames):
                events.append(event)
        assert_complete(events)
        assert types_of(events) == TEXT_RUN

    async def test_connect__follows_a_live_run(self, server):
        """Who connects during a run gets what there was, and then every event as it comes."""
        async with connect(server.port) as running, connect(server.port) as following:
            run = await running.post(RUN.format("gated"), run_input("followed", count=2))
            first = run.frames()
            await next_event(first)
            answer = await following.post(CONNECT.format("gated"), run_input("followed"))
            frames = answer.frames()
            assert (await next_event(frames))["type"] == "RUN_STARTED"
            assert (await next_event(frames))["type"] == "TEXT_MESSAGE_START"
            for number in range(2):
                await open_gate(server.port, "followed")
                assert (await next_event(frames))["delta"] == f"part {number} "
                last = None
            while event := await next_event(frames):
                last = event
        assert last["type"] == "RUN_FINISHED"


class TestPlainDjango:
    """Behind Django's own handler everything works as well."""

    async def test_run__flushed_at_once(self, plain):
        async with connect(plain.port) as connection:
            answer = await connection.post(RUN.format("gated"), run_input("plain", count=2))
            frames = answer.frames()
            events = [await next_event(frames), await next_event(frames)]
            for _ in range(2):
                await open_gate(plain.port, "plain")
                events.append(await next_event(frames))
            while event := await next_event(frames):
                events.append(event)
        assert_complete(events)
        assert len(events) == 6

    async def test_stop_and_connect(self, plain):
        async with connect(plain.port) as running, connect(plain.port) as other:
            answer = await running.post(RUN.format("endless"), run_input("plain-stop"))
            await next_event(answer.frames())
            stop = await other.post("/api/copilotkit/agent/endless/stop/plain-stop", {})
            assert (await stop.json())["stopped"] is True
            again = await other.post(CONNECT.format("endless"), run_input("plain-stop"))
            events = await rest_of(again)
        assert_complete(events)
        assert events[-1]["type"] == "RUN_FINISHED"

    async def test_info(self, plain):
        async with connect(plain.port) as connection:
            await connection.send(request("GET", "/api/copilotkit/info"))
            answer = await connection.answer(to="GET")
            assert answer.status == 200
            assert "default" in (await answer.json())["agents"]
