"""An agent and what wraps it, as one agent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from copilotkit_django.agents.base import Agent, Event, RunContext, RunInput
from copilotkit_django.agents.middleware.base import AgentMiddleware, Next
from copilotkit_django.events.normalize import Normalizer


class WrappedAgent(Agent):
    """An agent whose runs pass ``layers``, the first of them outermost.

    The agent and all layers but the first have their events normalised for the layer outside of
    them. However a run ends, every stream it has opened is closed, from the outside inwards, in
    the task that drives it.
    """

    def __init__(self, agent: Agent, layers: Sequence[AgentMiddleware]) -> None:
        self.agent = agent
        self.layers = tuple(layers)
        self.name = agent.name
        self.description = agent.description

    def clone(self) -> Self:
        return type(self)(self.agent.clone(), self.layers)

    async def capabilities(self) -> Mapping[str, Any] | None:
        return await self.agent.capabilities()

    def is_aside(self, run_input: RunInput) -> bool:
        """Whether one of the layers says that this run is no turn of the conversation."""
        return any(layer.is_aside(run_input) for layer in self.layers)

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        opened: list[Any] = []
        outermost = self.layers[0].run(context, self._next(1, opened))
        opened.append(outermost)
        try:
            async for event in outermost:
                yield event
        finally:
            async with AsyncExitStack() as closing:
                for stream in reversed(opened):
                    close = getattr(stream, "aclose", None)
                    if close is not None:
                        closing.push_async_callback(close)

    def _next(self, depth: int, opened: list[Any]) -> Next:
        def following(context: RunContext) -> AsyncIterator[dict[str, Any]]:
            events: AsyncIterator[Event]
            if depth == len(self.layers):
                events = self.agent.run(context)
            else:
                events = self.layers[depth].run(context, self._next(depth + 1, opened))
            stream = _normalized(events, context)
            opened.extend((stream, events))
            return stream

        return following


async def _normalized(
    events: AsyncIterator[Event], context: RunContext
) -> AsyncIterator[dict[str, Any]]:
    normalizer = Normalizer(context.thread_id, context.run_id)
    take = normalizer.take
    async for event in events:
        for wire in take(event):
            yield wire
    for wire in normalizer.finish():
        yield wire
