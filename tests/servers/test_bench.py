"""The server of the benchmarks, where it lets in only those it knows."""

from __future__ import annotations

import httpx
import pytest

from tests.conformance.started import started
from tests.talk import events_in, run_input, text_of

SECONDS = 60


@pytest.mark.parametrize(("runner", "workers"), [("memory", 1), ("database", 2)])
def test_auth(runner, workers, tmp_path):
    """Alice, bob and root each have threads of their own; everybody else gets 401."""
    options = ["--auth", "--runner", runner, "--workers", str(workers)]
    if runner == "database":
        options += ["--database", f"sqlite:///{tmp_path}/bench.sqlite3"]

    with (
        started("tests.bench.serve", *options) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server['port']}/api/copilotkit") as client,
    ):

        def ask(method, path, token, **content):
            headers = {"Authorization": token} if token else {}
            return client.request(method, path, headers=headers, timeout=SECONDS, **content)

        body = run_input("text:3", thread="t1")
        answer = ask("POST", "/agent/default/run", "Bearer alice", json=body)
        assert text_of(events_in(answer.content)) == "tok0 tok1 tok2 "
        for name, mine in (("alice", ["t1"]), ("bob", []), ("root", [])):
            listed = ask("GET", "/threads?agentId=default", f"Bearer {name}").json()["threads"]
            assert [thread["id"] for thread in listed] == mine

        for token in ("", "Bearer eve", "Bearer", "alice", "Basic alice", "Bearer alice bob"):
            for method, path in (("GET", "/info"), ("POST", "/agent/default/run")):
                answer = ask(method, path, token, json=body)
                assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
