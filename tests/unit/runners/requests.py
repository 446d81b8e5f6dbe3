"""Runs as a gate would ask a runner for them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from copilotkit_django.agents import Agent, FunctionAgent, RunInput
from copilotkit_django.runners import RunPolicy, RunRequest, RunTask, ThreadRef
from tests.talk import collect, run_input

#: Long enough to notice a grace that is not kept, short enough to wait for.
GRACE = 0.05


def request_for(
    agent: Agent | Any,
    text: str = "hi",
    *,
    thread: str = "t1",
    run: str = "r1",
    scope: str = "user:1",
    policy: RunPolicy | None = None,
    **fields: Any,
) -> RunRequest:
    """A request to run ``agent`` (an agent, or an async generator function)."""
    wire = run_input(text, thread=thread, run=run, **fields)
    body = json.dumps(wire).encode()
    return RunRequest(
        thread=ThreadRef(scope, thread),
        agent_id="default",
        agent=agent.clone() if isinstance(agent, Agent) else FunctionAgent(agent),
        input=RunInput.from_wire(wire),
        digest=hashlib.blake2b(body, digest_size=16).digest(),
        policy=policy or RunPolicy(stop_grace=GRACE, idle=None),
    )


def started(agent: Agent | Any, **options: Any) -> RunTask:
    """A run of its own, on its way."""
    on_end = options.pop("on_end", None)
    task = RunTask(request_for(agent, **options), on_end=on_end)
    task.start()
    return task


async def events_of(task: RunTask) -> list[dict[str, Any]]:
    """Everything a run sends, to its end."""
    return await collect(task.log.read())


async def turns(count: int = 5) -> None:
    """Let everything that is ready go on."""
    for _ in range(count):
        await asyncio.sleep(0)
