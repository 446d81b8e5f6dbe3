"""Agents and teams of Agno."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from copilotkit_django.agents.base import Event, RunContext
from copilotkit_django.contrib.framework import FrameworkAgent, on_worker_thread, run_input

if TYPE_CHECKING:
    from agno.agent import Agent
    from agno.team import Team

__all__ = ["AgnoAgent"]

logger = logging.getLogger("copilotkit.run")

#: What Agno writes into the state of a session beside what the agent does.
INTERNAL_STATE = frozenset(("current_session_id", "current_run_id", "current_user_id"))


class AgnoAgent(FrameworkAgent):
    """An agent or a team of Agno.

    Sessions are kept by ``db`` of the agent, by the key of the thread and the scope of the owner;
    one that a visitor began stays the visitor's for Agno, also when they have signed in.
    An agent without one is given a database in the memory of this process, and its own history to
    read: good for trying it out. What a page says about itself becomes dependencies of the run, and
    the shared state its ``session_state``.

    Synchronous functions among its tools run on the worker thread of the run and may use the
    database. What they raise goes to the model as a sentence of ours; the log has it. A tool with
    ``requires_confirmation`` ends the run with an interrupt, which ``{"approved": true}`` answers;
    one that wants input of the user is answered with ``{"values": {…}}``. ``options`` are those of
    `FrameworkAgent`.
    """

    extra = "agno"

    def __init__(self, agent: Agent | Team, **options: Any) -> None:
        super().__init__(
            **{"name": agent.name or "", "description": agent.description or "", **options}
        )
        try:
            from agno.db.in_memory import InMemoryDb
            from agno.os.interfaces.agui import router  # noqa: F401
        except ImportError as error:
            raise self.missing(error) from error
        agent_class = type(agent)
        self.agent: Any = copy.copy(agent)
        self.agent.arun = lambda *a, **k: _with_thoughts(agent_class.arun(self.agent, *a, **k))
        self.agent.acontinue_run = lambda *a, **k: _with_thoughts(
            agent_class.acontinue_run(self.agent, *a, **k)
        )
        if isinstance(agent.tools, list):
            self.agent.tools = [_off_the_loop(tool) for tool in agent.tools]
        if agent.db is None:
            logger.warning("%r of Agno has no db: its sessions end with this process.", agent.name)
            self.agent.db = InMemoryDb()
            self.agent.add_history_to_context = True

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        from agno.os.interfaces.agui.router import run_entity

        messages = [*context.messages, *(_answer(entry) for entry in context.input.resume or ())]
        given = run_input(context, messages=messages)
        waiting: dict[str, str] = {}
        page_tools = {tool["name"] for tool in context.input.tools}
        owner = await self._owner(context)
        async with aclosing(run_entity(self.agent, given, user_id=owner)) as events:
            async for event in events:
                kind = event.type
                if kind == "TOOL_CALL_START" and event.tool_call_name not in page_tools:
                    waiting[event.tool_call_id] = event.tool_call_name
                elif kind == "TOOL_CALL_RESULT":
                    waiting.pop(event.tool_call_id, None)
                elif kind == "STATE_SNAPSHOT" and isinstance(event.snapshot, dict):
                    kept = {k: v for k, v in event.snapshot.items() if k not in INTERNAL_STATE}
                    event = event.model_copy(update={"snapshot": kept})
                elif kind == "STATE_DELTA":
                    delta = [op for op in event.delta if not _is_internal(op)]
                    event = event.model_copy(update={"delta": delta})
                elif kind == "RUN_FINISHED" and waiting:
                    interrupts = [_interrupt(*call) for call in waiting.items()]
                    yield context.finished(outcome={"type": "interrupt", "interrupts": interrupts})
                    continue
                yield event

    async def _owner(self, context: RunContext) -> str:
        """Whom Agno takes for the owner of the session: the scope that began it.

        Who signs in takes the thread along, under another scope; Agno neither reads nor writes a
        session for anybody but its owner.
        """
        session = await self.agent.aget_session(session_id=context.thread_key)
        return getattr(session, "user_id", None) or context.scope


async def _with_thoughts(chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The events of a run, with what the model thinks as the bridge understands it.

    It knows the events of Agno's reasoning agents; a model that thinks by itself says so along with
    its answer.
    """
    from agno.run.agent import (
        ReasoningCompletedEvent,
        ReasoningContentDeltaEvent,
        ReasoningStartedEvent,
    )

    is_thinking = False
    async with aclosing(cast(Any, chunks)) as stream:
        async for chunk in stream:
            if chunk.event not in ("RunContent", "TeamRunContent"):
                thought, is_said = None, True
            else:
                thought, is_said = chunk.reasoning_content, bool(chunk.content)
            if thought:
                if not is_thinking:
                    yield ReasoningStartedEvent()
                is_thinking = True
                yield ReasoningContentDeltaEvent(reasoning_content=thought)
            elif is_thinking and is_said:
                is_thinking = False
                yield ReasoningCompletedEvent()
            if is_said:
                yield chunk


def _interrupt(call_id: str, name: str) -> dict[str, Any]:
    return {
        "id": call_id,
        "reason": "tool_call",
        "message": f"{name} waits for an answer.",
        "toolCallId": call_id,
    }


def _answer(entry: dict[str, Any]) -> dict[str, Any]:
    """The answer to an interrupt as Agno takes it: the result of a tool of the page."""
    payload = entry.get("payload")
    if entry["status"] != "resolved":
        payload = {"accepted": False, "note": "The user cancelled."}
    elif isinstance(payload, bool):
        payload = {"accepted": payload}
    elif isinstance(payload, dict) and "approved" in payload:
        payload = {**payload, "accepted": payload["approved"]}
    call_id = entry["interruptId"]
    return {
        "id": f"resume-{call_id}",
        "role": "tool",
        "toolCallId": call_id,
        "content": json.dumps(payload),
    }


def _off_the_loop(tool: Any) -> Any:
    """A tool that leaves the loop, and whose errors are not told to the page."""
    from agno.exceptions import AgentRunException, RunCancelledException
    from agno.tools.function import Function

    passing = (AgentRunException, RunCancelledException)
    if isinstance(tool, Function) and tool.entrypoint is not None:
        entrypoint = on_worker_thread(tool.entrypoint, scrub_errors=True, passing=passing)
        tool = tool.model_copy()
        tool.entrypoint = entrypoint
        return tool
    if hasattr(tool, "__code__"):
        return on_worker_thread(tool, scrub_errors=True, passing=passing)
    return tool


def _is_internal(operation: Any) -> bool:
    path = operation["path"] if isinstance(operation, dict) else operation.path
    return str(path).split("/")[1:2] in [[key] for key in INTERNAL_STATE]
