"""Agents made by a function, run by run: it brings the model, we bring the stream."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, fields
from typing import Any

from django.utils.module_loading import import_string

from copilotkit_django.agents.base import Agent, RunContext
from copilotkit_django.agents.builtin.foreign import ForeignStream
from copilotkit_django.agents.builtin.openai_form import chat_messages, chat_tools
from copilotkit_django.agents.builtin.speech import Speech
from copilotkit_django.agents.builtin.state_tools import DELTA_TOOL, SNAPSHOT_TOOL, state_event
from copilotkit_django.agents.tools import ToolSession
from copilotkit_django.events.wire import decode, to_wire
from copilotkit_django.workers import call

logger = logging.getLogger("copilotkit.run")

Event = dict[str, Any]

#: ``async def make(context: FactoryContext)``: see `BuiltInAgent`.
Factory = Callable[["FactoryContext"], Any]

#: Agents of other packages, by the package, and what makes agents of ours of them.
ADAPTERS = {"pydantic_ai": "copilotkit_django.contrib.pydantic_ai.PydanticAIAgent"}


class Paused(Exception):
    """The run waits for the person: let it pass. Raised by `FactoryContext.interrupt`."""

    def __init__(self, interrupts: list[Event]) -> None:
        super().__init__("The run waits for an answer.")
        self.interrupts = interrupts


@dataclass(slots=True)
class FactoryContext(RunContext):
    """The run context, as factories get it: it can wait for the person."""

    @classmethod
    def of(cls, context: RunContext) -> FactoryContext:
        """The context of the same run."""
        return cls(**{each.name: getattr(context, each.name) for each in fields(RunContext)})

    @property
    def openai_messages(self) -> list[dict[str, Any]]:
        """The conversation as Chat Completions, and most that imitate them, take it."""
        return chat_messages(self.messages)

    @property
    def openai_tools(self) -> list[dict[str, Any]]:
        """The tools of the page in the same form."""
        return chat_tools(self.input.tools)

    def interrupt(self, interrupts: Iterable[Mapping[str, Any]]) -> list[Event]:
        """The person's answers to these interrupts: entries of ``resume``, in the same order.

        Each interrupt needs an ``id`` that is the same when the run comes back, and has a
        ``reason``. If the run brings no answer to one of them it ends here, with all of them as
        its outcome.
        """
        asked = [{"reason": "input_required", **interrupt} for interrupt in interrupts]
        if not asked or not all(isinstance(each.get("id"), str) for each in asked):
            raise ValueError("An interrupt needs an id.")
        answers = {entry["interruptId"]: entry for entry in self.input.resume or ()}
        if any(each["id"] not in answers for each in asked):
            raise Paused(asked)
        return [answers[each["id"]] for each in asked]


async def events(factory: Factory, context: RunContext) -> AsyncGenerator[Event]:
    """The events of a run of what the factory makes, from ``RUN_STARTED`` to ``RUN_FINISHED``.

    Raises `TypeError` for what cannot be run, and what the factory and its model raise.
    """
    yield context.started()
    wrapped = FactoryContext.of(context)
    ending: dict[str, Any] = {}
    state = _StateCalls(context)
    try:
        async with aclosing(_made(factory, wrapped, ending, state)) as stream:
            async for event in stream:
                for before in state.before(event):
                    yield before
                yield event
                if event.get("type") == "RUN_ERROR":
                    return
    except Paused as paused:
        ending["outcome"] = {"type": "interrupt", "interrupts": paused.interrupts}
    yield context.finished(**ending)


async def _made(
    factory: Factory, context: FactoryContext, ending: dict[str, Any], state: _StateCalls
) -> AsyncGenerator[Event]:
    """What comes of a factory. ``ending`` is given the fields of an inner ``RUN_FINISHED``."""
    if inspect.isasyncgenfunction(factory):
        made: Any = factory(context)
    else:
        made = await call(factory, context)
    agent = _as_agent(made)
    if agent is not None:
        state.are_told = _tells_state_calls(agent)
        made = agent.clone().run(context)
    elif _is_chat_model(made):
        made = _ask(made, context)
    if isinstance(made, str):
        speech = Speech()
        for event in (*speech.say(made), *speech.finish()):
            yield event
        return
    if made is None:
        return
    if not hasattr(made, "__aiter__"):
        raise TypeError(f"A factory made {made!r}, which is no stream, model or agent.")
    async with aclosing(_translated(made, ending)) as stream:
        async for event in stream:
            yield event


async def _translated(stream: Any, ending: dict[str, Any]) -> AsyncGenerator[Event]:
    foreign = ForeignStream()
    try:
        async for item in stream:
            if foreign.takes(item):
                for event in foreign.feed(item):
                    yield event
                continue
            wire = to_wire(item)
            if wire.get("type") == "RUN_FINISHED":
                ending.update(
                    {k: v for k, v in wire.items() if k not in ("type", "threadId", "runId")}
                )
            elif wire.get("type") != "RUN_STARTED":
                yield wire
        for event in foreign.finish():
            yield event
        if foreign.usage is not None:
            ending["usage"] = [foreign.usage]
    finally:
        # Clients of models close streams by either name, and so hang up on the provider.
        close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
        if close is not None:
            await close()


def _as_agent(made: Any) -> Agent | None:
    if isinstance(made, Agent):
        return made
    for kind in type(made).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in ADAPTERS and hasattr(made, "run_stream_events"):
            adapted: Agent = import_string(ADAPTERS[package])(made)
            return adapted
    return None


def _tells_state_calls(agent: Agent) -> bool:
    """Whether it streams what calls of the state tools make of the state."""
    from copilotkit_django.agents.builtin.agent import BuiltInAgent

    return isinstance(agent, BuiltInAgent)


def _is_chat_model(made: Any) -> bool:
    """Whether it is a chat model of LangChain, or one with tools bound to it."""
    return hasattr(made, "astream") and hasattr(made, "ainvoke")


def _ask(model: Any, context: FactoryContext) -> AsyncIterator[Any]:
    """The model's answer to the conversation, with the tools of the page."""
    # A model that has tools bound to it already is asked with those.
    is_bare = any(kind.__name__ == "BaseChatModel" for kind in type(model).__mro__)
    if context.openai_tools and is_bare:
        model = model.bind_tools(context.openai_tools)
    stream: AsyncIterator[Any] = model.astream(context.openai_messages)
    return stream


class _StateCalls:
    """Knows calls of tools named like the state tools, and the state events they stand for."""

    def __init__(self, context: RunContext) -> None:
        #: The stream has the state events already.
        self.are_told = False
        self._session = ToolSession(context)
        self._names: dict[str, str] = {}
        self._arguments: dict[str, str] = {}

    def before(self, event: Event) -> list[Event]:
        """What to send in front of an event: the state in front of the result that sets it."""
        if self.are_told:
            return []
        kind, call_id = event.get("type"), event.get("toolCallId", "")
        if kind in ("STATE_SNAPSHOT", "STATE_DELTA"):
            return self._learn(event)
        if kind == "TOOL_CALL_START" and event["toolCallName"] in (SNAPSHOT_TOOL, DELTA_TOOL):
            self._names[call_id] = event["toolCallName"]
        elif kind == "TOOL_CALL_ARGS" and call_id in self._names:
            self._arguments[call_id] = self._arguments.get(call_id, "") + event["delta"]
        elif kind == "TOOL_CALL_RESULT" and call_id in self._names:
            name, arguments = self._names.pop(call_id), self._arguments.pop(call_id, "")
            try:
                self._session.add(state_event(name, decode(arguments.encode())))
            except ValueError as error:
                logger.warning("A call of %s changes no state: %s", name, error)
        return self._session.take()

    def _learn(self, event: Event) -> list[Event]:
        """Note a state event of the factory's own: calls after it start from there."""
        try:
            self._session.add(event)
        except ValueError:
            # The stream refuses it in words of its own.
            return []
        return self._session.take()[:-1]
