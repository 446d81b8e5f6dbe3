"""What a server process does at its start and at its end."""

import asyncio

import pytest

from tests.servers.http import PATIENCE, connect, run_input
from tests.servers.process import STOP_SECONDS, NotStarted

STREAMS = 5


@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
def test_start__misspelt_setting(start, name):
    """A server with wrong settings does not start, and says what the system check says."""
    server = start(name, SERVED_MISSPELT="1")

    with pytest.raises(NotStarted):
        server.wait_until_ready()

    assert server.process.wait(STOP_SECONDS) != 0
    assert "COPILOTKIT['KEEPALIVE_SECOND'] is not a setting." in server.output()
    assert "Did you mean 'KEEPALIVE_SECONDS'?" in server.output()


@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
async def test_end__open_streams(start, name):
    """SIGTERM ends the process, though everybody listens to what never ends."""
    server = await asyncio.to_thread(start(name).wait_until_ready)

    async def listen(number: int, begun: asyncio.Event) -> None:
        async with connect(server.port) as connection:
            body = run_input(f"open-{number}")
            answer = await connection.post("/api/copilotkit/agent/endless/run", body)
            try:
                async for _ in answer.events():
                    begun.set()
            except (asyncio.IncompleteReadError, ConnectionError, ValueError):
                pass  # cut off, as an end without grace is

    begun = [asyncio.Event() for _ in range(STREAMS)]
    listeners = [asyncio.create_task(listen(n, event)) for n, event in enumerate(begun)]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(event.wait() for event in begun))

    await asyncio.to_thread(server.terminate)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*listeners)
