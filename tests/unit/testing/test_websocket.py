"""A client of the connect socket, where it cannot connect."""

from __future__ import annotations

import httpx
import pytest
from websockets.asyncio.server import serve

from copilotkit_django.testing import WebsocketClient, WebsocketError
from tests.talk import run_input, within


async def test_ticket__not_to_be_had_at_first():
    """A client that is refused a ticket comes back for another, whatever the refusal is."""
    asked = []

    async def ticket():
        asked.append(1)
        if len(asked) < 3:
            raise httpx.ConnectError("All connection attempts failed")
        return "t-3"

    async def refuse(connection):
        await connection.close(4404, connection.request.path)

    async with serve(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        url = f"ws://{host}:{port}/"
        async with WebsocketClient(url, ticket=ticket, first_pause=0.01) as client:
            with pytest.raises(WebsocketError) as refused:
                await within(anext(aiter(client.run(run_input()))))

    assert refused.value.code == 4404
    assert len(asked) == 3


async def test_client__breaks_down():
    """What the client does not understand ends what is under way, and leaves nobody waiting."""

    async def babble(connection):
        await connection.send("Hello?")
        await connection.wait_closed()

    async with serve(babble, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with WebsocketClient(f"ws://{host}:{port}/", first_pause=0.01) as client:
            with pytest.raises(WebsocketError, match="broke down"):
                await within(client.stop("t1"))
