"""What open streams of signed-in users hold of the database: nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from copilotkit_django.workers import WORKERS
from tests import services
from tests.servers.http import PATIENCE, connect, request, run_input
from tests.servers.process import OURS, PLAIN, ROOT, ServerProcess
from tests.servers.streams import assert_complete

STREAMS = 30


@dataclass
class Database:
    address: str
    #: How many connections a server has open to it.
    connections: Callable[[ServerProcess], int]
    session_key: str = ""

    def prepare(self) -> Database:
        """Make the tables and sign somebody in."""
        result = subprocess.run(
            [sys.executable, "-m", "tests.servers.project.sign_in"],
            cwd=ROOT,
            env=os.environ
            | {
                "SERVED_DATABASE": self.address,
                "DJANGO_SETTINGS_MODULE": "tests.servers.project.settings",
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert result.returncode == 0, result.stderr
        self.session_key = result.stdout.strip()
        return self


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory) -> Database:
    path = tmp_path_factory.mktemp("database") / "served.sqlite3"
    return Database(f"sqlite:{path}", lambda server: server.open_files(str(path))).prepare()


@pytest.fixture(scope="module")
def postgres():
    where = services.find("postgres")
    if where is None:
        pytest.skip("SQLite has to do: PostgreSQL is not there")
    psycopg = pytest.importorskip("psycopg")
    name = f"copilotkit_servers_{os.getpid()}"
    with psycopg.connect(where, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")

        def connections(server: ServerProcess) -> int:
            # Not the server's own workers, which tidy up in a new database.
            query = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = %s AND backend_type = 'client backend'"
            )
            return admin.execute(query, [name]).fetchone()[0]

        try:
            yield Database(f"{where.rpartition('/')[0]}/{name}", connections).prepare()
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request) -> Database:
    return request.getfixturevalue(request.param)


# Behind Django's handler every request has a thread of its own; behind ours they share a few, and
# what those hold between two requests of theirs is theirs.
@pytest.mark.parametrize(("application", "most"), [(OURS, WORKERS), (PLAIN, 0)])
async def test_open_streams__of_a_signed_in_user(start, database, application, most):
    """The connection that looked up session and user is not held as long as the stream is."""
    server = start("uvicorn", application, SERVED_DATABASE=database.address)
    await asyncio.to_thread(server.wait_until_ready)
    who = {
        "cookie": f"sessionid={database.session_key}",
        "origin": f"http://127.0.0.1:{server.port}",
    }
    begun = asyncio.Semaphore(0)

    async def follow(number: int):
        async with connect(server.port) as connection:
            body = run_input(f"held-{number}", count=1)
            path = "/api/members/agent/gated/run"
            answer = await connection.post(path, body, **who | {"host": who["origin"][7:]})
            assert answer.status == 200, await answer.body()
            events = []
            async for event in answer.events():
                if not events:
                    begun.release()
                events.append(event)
            return events

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        streams = [group.create_task(follow(number)) for number in range(STREAMS)]
        for _ in range(STREAMS):
            await begun.acquire()
        # A connection that is closed here is counted there until its process has ended.
        while await asyncio.to_thread(database.connections, server) > most:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        async with connect(server.port) as connection:
            for number in range(STREAMS):
                await connection.send(request("GET", f"/gate/held-{number}/1"))
                await (await connection.answer()).body()

    for stream in streams:
        assert_complete(stream.result())
    server.kill()
