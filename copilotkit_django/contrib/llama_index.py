"""Agents of LlamaIndex."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.base import Event, RunContext
from copilotkit_django.contrib.framework import (
    FrameworkAgent,
    on_worker_thread,
    page_context,
    run_input,
)
from copilotkit_django.events.wire import decode

if TYPE_CHECKING:
    from llama_index.core.llms.function_calling import FunctionCallingLLM

__all__ = ["LlamaIndexAgent"]


class LlamaIndexAgent(FrameworkAgent):
    """A model of LlamaIndex with tools: its AG-UI chat workflow, a new one for each run.

    ``tools`` are functions or tools of LlamaIndex; one with a ``Context`` parameter finds the
    shared state in ``ctx.store`` under ``state``. Synchronous functions run on the worker thread of
    the run and may use the database. What a tool raises goes to the model as a sentence of ours;
    the log has it. ``initial_state`` is the shared state of a page that has none. ``options`` are
    those of `FrameworkAgent`.

    The conversation is what the client sends.
    """

    extra = "llama-index"

    def __init__(
        self,
        llm: FunctionCallingLLM,
        *,
        tools: Sequence[Any] = (),
        system_prompt: str = "",
        initial_state: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        try:
            import llama_index.protocols.ag_ui.agent  # noqa: F401
        except ImportError as error:
            raise self.missing(error) from error
        self.llm = llm
        self.tools = [_backend(tool) for tool in tools]
        self.system_prompt = system_prompt
        self.initial_state = initial_state

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        from ag_ui.core import BaseEvent

        own = {tool.metadata.name for tool in self.tools}
        _thoughts.set(_Thoughts(context.run_id))
        workflow = _workflow()(
            llm=_repaired(self.llm),
            backend_tools=self.tools,
            frontend_tools=[_frontend(t) for t in context.input.tools if t["name"] not in own],
            system_prompt="\n\n".join(filter(None, (self.system_prompt, page_context(context)))),
            initial_state=self.initial_state,
            timeout=None,
        )
        handler = workflow.run(input_data=run_input(context, state=context.state or None))
        try:
            async for event in handler.stream_events():
                if isinstance(event, BaseEvent):
                    yield event
                elif isinstance(event, _thought_event()):
                    yield event.wire
            await handler
        finally:
            if not handler.done():
                await handler.cancel_run()


def _backend(tool: Any) -> Any:
    """A tool that leaves the loop, and whose errors are not told to the page."""
    from llama_index.core.tools import FunctionTool

    if not isinstance(tool, FunctionTool):
        if not callable(tool) or hasattr(tool, "metadata"):
            return tool
        tool = FunctionTool.from_defaults(async_fn=on_worker_thread(tool, scrub_errors=True))
        return tool
    function = tool.real_fn
    return FunctionTool(
        async_fn=on_worker_thread(function, scrub_errors=True),
        metadata=tool.metadata,
        partial_params=tool.partial_params,
    )


def _frontend(tool: dict[str, Any]) -> Any:
    """A tool of the page with the schema it has; the bridge would make strings of its fields."""
    from llama_index.core.tools import FunctionTool, ToolMetadata
    from pydantic import BaseModel, ConfigDict

    parameters = tool.get("parameters") or {"type": "object", "properties": {}}

    class PageToolArguments(BaseModel):
        model_config = ConfigDict(extra="allow")

        @classmethod
        def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
            return copy.deepcopy(parameters)

    def carried_out_by_the_page(**arguments: Any) -> str:
        return ""

    return FunctionTool(
        fn=carried_out_by_the_page,
        metadata=ToolMetadata(
            name=tool["name"],
            description=tool.get("description") or tool["name"],
            fn_schema=PageToolArguments,
        ),
    )


class _Thoughts:
    """What the model thinks, which the workflow does not tell."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._count = 0

    async def hear(self, responses: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Pass the answer of a model on, telling its thoughts as they come."""
        message_id, told = "", 0
        async for response in responses:
            thought = (response.additional_kwargs or {}).get("thinking_delta")
            if not thought:
                # Some models have it among what they said so far only.
                so_far = _thinking(response.message)
                thought, told = so_far[told:], max(told, len(so_far))
            if thought:
                if not message_id:
                    self._count += 1
                    message_id = f"{self._run_id}-thought-{self._count}"
                    self._say("REASONING_START", message_id)
                    self._say("REASONING_MESSAGE_START", message_id, role="reasoning")
                self._say("REASONING_MESSAGE_CONTENT", message_id, delta=thought)
            elif message_id:
                self._end(message_id)
                message_id = ""
            yield response
        if message_id:
            self._end(message_id)

    def _end(self, message_id: str) -> None:
        self._say("REASONING_MESSAGE_END", message_id)
        self._say("REASONING_END", message_id)

    def _say(self, kind: str, message_id: str, **fields: Any) -> None:
        wire = {"type": kind, "messageId": message_id, **fields}
        _step.get().write_event_to_stream(_thought_event()(wire=wire))


def _thinking(message: Any) -> str:
    blocks = (block for block in message.blocks if block.block_type == "thinking")
    return "".join(block.content or "" for block in blocks)


#: Of the task of a run, and of the steps of its workflow.
_thoughts: ContextVar[_Thoughts] = ContextVar("copilotkit_llama_index_thoughts")

#: The context of the step of a workflow that is being taken.
_step: ContextVar[Any] = ContextVar("copilotkit_llama_index_step")


@functools.cache
def _workflow() -> Any:
    from llama_index.core.workflow import step
    from llama_index.protocols.ag_ui.agent import AGUIChatWorkflow

    class TellingWorkflow(AGUIChatWorkflow):  # type: ignore[misc]
        """The workflow, telling the model it calls which step that is."""

        @step  # type: ignore[untyped-decorator]
        @functools.wraps(AGUIChatWorkflow.chat)
        async def chat(self, ctx: Any, ev: Any) -> Any:
            _step.set(ctx)
            return await AGUIChatWorkflow.chat(self, ctx, ev)

    return TellingWorkflow


@functools.cache
def _thought_event() -> Any:
    """An event of AG-UI in wire form as one of a workflow."""
    from llama_index.core.workflow import Event as WorkflowEvent

    class ThoughtEvent(WorkflowEvent):  # type: ignore[misc]
        wire: dict[str, Any]

    return ThoughtEvent


def _repaired(llm: Any) -> Any:
    """The model, given the conversation as it was and heard while it thinks.

    The bridge writes calls into the text of the assistant, and results into messages of the user.
    """
    kind: Any = type(llm)
    copied = llm.model_copy()
    copied.__class__ = _repaired_class(kind)
    return copied


# Made once: classes of this kind are never collected.
@functools.cache
def _repaired_class(kind: Any) -> Any:
    class Repaired(kind):  # type: ignore[misc]
        async def astream_chat_with_tools(
            self, tools: Any, chat_history: Iterable[Any] = (), **options: Any
        ) -> AsyncIterator[Any]:
            history = [_as_it_was(message) for message in chat_history]
            responses = await super().astream_chat_with_tools(
                tools=tools, chat_history=history, **options
            )
            return _thoughts.get().hear(responses)

    return Repaired


def _arguments(call: dict[str, Any]) -> Any:
    try:
        return decode((call["arguments"] or "{}").encode())
    except ValueError:
        return call["arguments"]


CALLS_IN_TEXT = re.compile(r"\s*<tool_call>.*?</tool_call>", re.DOTALL)


def _as_it_was(message: Any) -> Any:
    from llama_index.core.base.llms.types import ToolCallBlock
    from llama_index.core.llms import ChatMessage, MessageRole, TextBlock

    known = message.additional_kwargs
    if message.role == MessageRole.USER and "tool_call_id" in known:
        return message.model_copy(update={"role": MessageRole.TOOL})
    calls = known.get("ag_ui_tool_calls")
    if not calls or any(isinstance(block, ToolCallBlock) for block in message.blocks):
        return message
    text = CALLS_IN_TEXT.sub("", message.content or "")
    blocks: list[Any] = [TextBlock(text=text)] if text else []
    blocks += [
        ToolCallBlock(tool_call_id=call["id"], tool_name=call["name"], tool_kwargs=_arguments(call))
        for call in calls
    ]
    return ChatMessage(role=message.role, blocks=blocks)
