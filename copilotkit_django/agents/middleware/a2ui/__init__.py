"""A2UI: surfaces made of the components of a catalogue, for any agent."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from copilotkit_django.agents.base import RunContext
from copilotkit_django.agents.middleware.a2ui.options import A2UIOptions
from copilotkit_django.agents.middleware.base import AgentMiddleware, Next

__all__ = ["A2UI", "A2UIOptions"]

Event = dict[str, Any]


class A2UI(AgentMiddleware):
    """Shows what agents draw, and tells them what people do on it.

    ``options`` are those of `A2UIOptions`. A surface appears while the arguments of the call that
    draws it are written; surfaces in the results of other tools are shown as well. Calls of the
    tool that nobody answered are answered at the end of the run.

    Raises `ImproperlyConfigured` for options that cannot be used. Needs the ``a2ui`` extra.
    """

    on_suggestions = False

    def __init__(self, **options: Any) -> None:
        self.options = A2UIOptions(**options)
        if self.options.enabled and not is_installed():
            raise ImproperlyConfigured(
                "A2UI needs its toolkit: pip install 'copilotkit-django[a2ui]'."
            )

    async def run(self, context: RunContext, next: Next) -> AsyncIterator[Event]:
        options = self.options
        if not options.is_for(context.agent_id):
            async for event in next(context):
                yield event
            return
        # Not before they are needed: the toolkit is one that not everybody has.
        from copilotkit_django.agents.middleware.a2ui.drawing import Drawing
        from copilotkit_django.agents.middleware.a2ui.inputs import changes, page_catalog

        run_input = context.input
        inject = options.injects(run_input.forwarded_props)
        drawing = Drawing(options, run_input, page_catalog(run_input), injected=inject)
        held: Event | None = None
        try:
            async for event in next(
                context.with_input(**changes(run_input, options, inject=inject))
            ):
                if held is not None:
                    yield held
                    held = None
                if event["type"] == "RUN_FINISHED":
                    held = event
                    continue
                for out in await drawing.see(event):
                    yield out
        except (asyncio.CancelledError, Exception):
            # Nothing more is going to come: what is being drawn must not look as if.
            for out in drawing.broken_off():
                yield out
            raise
        for out in drawing.finished() if held is not None else drawing.broken_off():
            yield out
        if held is not None:
            yield held


@functools.cache
def is_installed() -> bool:
    """Whether the toolkit is there."""
    return find_spec("ag_ui_a2ui_toolkit") is not None
