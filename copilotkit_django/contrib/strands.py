"""Agents of AWS Strands, by way of ``ag-ui-strands``."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents import Event, RunContext
from copilotkit_django.agents.tools import ToolContext, ToolSession
from copilotkit_django.agents.tools.approval import REASON
from copilotkit_django.contrib.framework import FrameworkAgent, page_context, run_input
from copilotkit_django.events.wire import to_wire
from copilotkit_django.incidents import scrub

if TYPE_CHECKING:
    import strands
    from ag_ui_strands import StrandsAgent as Bridge
    from ag_ui_strands import StrandsAgentConfig

__all__ = ["StrandsAgent"]

#: Where tools find the `ToolContext`: in the ``invocation_state`` of their ``strands.ToolContext``.
CONTEXT = "copilotkit"

#: What the bridge calls a question whether a tool may be called. To pages the name says that they
#: carry the call out themselves.
TOOL_CALL = "tool_call"


class StrandsAgent(FrameworkAgent):
    """An agent of AWS Strands: a ``strands.Agent``, or a function that makes a Graph or a Swarm.

    The agent is a template: each thread has one of its own, with its model, prompt and tools. The
    conversation comes from the page with every run. Hooks and plugins of the template are not
    copied, give them here. ``config`` is a ``StrandsAgentConfig``: state, approvals
    (``ToolBehavior(interrupt_on_call=True)``), session managers.

    A run that is interrupted waits in this process, with the agents of the ``max_threads`` threads
    last used. With a ``session_manager_provider`` nothing is kept here: the agent of a thread is
    made for each run, from its session, whose id is the thread's key.
    """

    extra = "strands"

    def __init__(
        self,
        agent: strands.Agent | Callable[[], Any],
        *,
        name: str = "",
        description: str = "",
        config: StrandsAgentConfig | None = None,
        hooks: Iterable[Any] = (),
        plugins: Iterable[Any] = (),
        max_threads: int = 256,
        raw: bool = False,
    ) -> None:
        try:
            from ag_ui_strands import StrandsAgentConfig
        except ImportError as error:
            raise self.missing(error) from error
        super().__init__(
            name=name or str(getattr(agent, "name", "")),
            description=description or getattr(agent, "description", None) or "",
            raw=raw,
        )
        self.agent = agent
        self.config = StrandsAgentConfig() if config is None else config
        self.hooks = list(hooks)
        self.plugins = list(plugins)
        self.max_threads = max_threads
        #: By thread, the one used last at the end.
        self.kept: OrderedDict[str, Bridge] = OrderedDict()
        _hush()
        # What is wrong with the agent is said now, not to the first user.
        self._bridge()

    async def capabilities(self) -> Mapping[str, Any]:
        return {
            "transport": {"streaming": True},
            "tools": {"supported": True, "clientProvided": True},
            "state": {"snapshots": True, "deltas": False},
            "reasoning": {"supported": True, "streaming": True},
            "humanInTheLoop": {"supported": True, "approvals": True, "interrupts": True},
        }

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        said = page_context(context)
        given = run_input(
            context, context=[{"description": "The page", "value": said}] if said else []
        )
        tools = ToolSession(context)
        state = {CONTEXT: ToolContext(context, session=tools)}
        page = {tool["name"] for tool in context.input.tools}
        known = context.state
        events = self._bridge_of(context.thread_key).run(given, invocation_state=state)
        async with aclosing(events) as stream:
            async for event in stream:
                for emitted in tools.take():
                    yield emitted
                wire = to_wire(event)
                if wire["type"] == "RUN_FINISHED":
                    wire = _finished(wire, page)
                elif wire["type"] == "STATE_SNAPSHOT":
                    # It repeats what it knows, which is not what tools have made of it since.
                    if wire["snapshot"] == known:
                        continue
                    known = wire["snapshot"]
                yield wire

    def _bridge_of(self, thread_key: str) -> Bridge:
        if self.config.session_manager_provider is not None:
            # Another process may have gone on with the session.
            return self._bridge()
        bridge = self.kept.pop(thread_key, None) or self._bridge()
        self.kept[thread_key] = bridge
        while len(self.kept) > self.max_threads:
            self.kept.popitem(last=False)
        return bridge

    def _bridge(self) -> Bridge:
        from ag_ui_strands import StrandsAgent as Bridge

        return Bridge(
            self.agent,
            name=self.name or "agent",
            description=self.description,
            config=self.config,
            hooks=[*self.hooks, _Scrubber()],
            plugins=self.plugins,
        )


class _Scrubber:
    """A hook provider that keeps the text of exceptions from the model and the page."""

    def register_hooks(self, registry: Any, **options: Any) -> None:
        from strands.hooks import AfterToolCallEvent

        registry.add_callback(AfterToolCallEvent, self._after_tool_call)

    def _after_tool_call(self, event: Any) -> None:
        # The model can do something about arguments that do not fit.
        if event.exception is None or str(event.exception).startswith("Validation failed"):
            return
        context = event.invocation_state.get(CONTEXT)
        text = scrub(event.exception, expose=context is not None and context.run.expose_errors)
        event.result = {**event.result, "content": [{"text": f"Error: {text}"}]}


def _finished(event: dict[str, Any], page: set[str]) -> dict[str, Any]:
    outcome = event.get("outcome") or {}
    if outcome.get("type") != "interrupt":
        # It does not name the calls that wait for the page: ours will.
        return {key: value for key, value in event.items() if key != "outcome"}
    interrupts = [
        {**each, "reason": REASON}
        if each["reason"] == TOOL_CALL and (each.get("metadata") or {}).get("tool_name") not in page
        else each
        for each in outcome["interrupts"]
    ]
    return {**event, "outcome": {**outcome, "interrupts": interrupts}}


class _Detached(logging.Filter):
    """Drops what OpenTelemetry says of spans that Strands leaves to the garbage collector.

    It happens with each call of a tool of the page, and means nothing.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, ValueError) and "different Context" in str(error))


_detached = _Detached()


def _hush() -> None:
    # Adding it again changes nothing.
    logging.getLogger("opentelemetry.context").addFilter(_detached)
