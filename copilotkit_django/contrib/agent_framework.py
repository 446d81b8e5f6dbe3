"""Agents and workflows of the Microsoft Agent Framework, on its core (``agent-framework-core``)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from copilotkit_django.agents import Event, RunContext
from copilotkit_django.agents.attachments import Attachment, parts_of, text_of
from copilotkit_django.agents.tools import ToolContext, ToolSession, is_approved
from copilotkit_django.agents.tools.approval import REASON, RESPONSE_SCHEMA
from copilotkit_django.contrib.conversation import UNANSWERED, news, repaired
from copilotkit_django.contrib.framework import FrameworkAgent, FrameworkError, page_context
from copilotkit_django.contrib.interrupts import seal, unseal

if TYPE_CHECKING:
    from agent_framework import AgentSession, Content, FunctionTool, Message, SupportsAgentRun

#: The part of a session that holds what the user was asked, under the framework's name for it.
APPROVALS = "tool_approval"

#: How the framework names the parts of a usage, and AG-UI.
USAGE = {
    "input_token_count": "inputTokens",
    "output_token_count": "outputTokens",
    "total_token_count": "totalTokens",
    "reasoning_output_token_count": "reasoningTokens",
    "cache_read_input_token_count": "cachedInputTokens",
    "cache_creation_input_token_count": "cacheWriteInputTokens",
}


#: Where functions find the `ToolContext`: among the ``kwargs`` of their FunctionInvocationContext.
CONTEXT = "copilotkit"


class AgentFrameworkAgent(FrameworkAgent):
    """An agent of the Microsoft Agent Framework.

    ``agent`` is one (``agent_framework.Agent``, a workflow's ``as_agent()``), or a function that
    makes one for each run from its `RunContext`, sync or async: workflows hold what belongs to a
    run and need that. The conversation comes from the page with every run. With ``keeps_history``
    the agent has a history provider that knows it by its session id, which is the thread's key;
    then only what is new is sent.

    Tools of the page end the run and are answered by another. A tool of the agent with
    ``approval_mode="always_require"`` becomes an interrupt (reason ``tool_approval``), answered by
    ``{"approved": true}``: the call that runs is the one that was shown.
    """

    extra = "agent-framework"

    def __init__(
        self,
        agent: SupportsAgentRun | Callable[[RunContext], Any],
        *,
        name: str = "",
        description: str = "",
        keeps_history: bool = False,
    ) -> None:
        try:
            import agent_framework  # noqa: F401
        except ImportError as error:
            raise self.missing(error) from error
        super().__init__(
            name=name or getattr(agent, "name", None) or "",
            description=description or getattr(agent, "description", None) or "",
        )
        self.agent = agent
        self.keeps_history = keeps_history

    async def capabilities(self) -> Mapping[str, Any]:
        return {
            "transport": {"streaming": True},
            "tools": {"supported": True, "clientProvided": True},
            "reasoning": {"supported": True, "streaming": True},
            "humanInTheLoop": {"supported": True, "approvals": True, "interrupts": True},
        }

    async def stream(self, context: RunContext) -> AsyncIterator[Event]:
        from agent_framework import Message

        agent = await self._agent_for(context)
        session = None
        if context.input.resume or self.keeps_history or _needs_session(agent):
            session = agent.create_session(session_id=context.thread_key)
        answers = _answers(session, context)
        messages = _conversation(context, new_only=self.keeps_history)
        if answers:
            messages.append(Message("user", answers))
        tools = ToolSession(context)
        speech = _Speech()
        options: dict[str, Any] = {}
        if hasattr(agent, "default_options"):
            # Workflows take no instructions, and copy what their functions are given.
            options["function_invocation_kwargs"] = {CONTEXT: ToolContext(context, session=tools)}
            if said := page_context(context):
                options["options"] = {"instructions": said}
        async with agent.run(
            messages,
            stream=True,
            session=session,
            tools=_page_tools(agent, context),
            **options,
        ) as stream:
            async for update in stream:
                for event in (*tools.take(), *speech.take(update)):
                    yield event
        for event in (*tools.take(), *speech.finish()):
            yield event
        approvals = session.to_dict()["state"].get(APPROVALS) if session is not None else None
        yield context.finished(**speech.usage, outcome=speech.outcome(approvals, context))

    async def _agent_for(self, context: RunContext) -> Any:
        if not callable(self.agent):
            return self.agent
        agent = self.agent(context)
        return await agent if isinstance(agent, Awaitable) else agent


class _Speech:
    """What an agent says, as events."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] = {}
        self._model = ""
        #: Our id of the message the model is at; ``None`` between two of its answers.
        self._message_id: str | None = None
        #: The text or reasoning being said: its kind, whose it is, our id, how much of it was sent.
        self._saying: tuple[str, str | None, str, int] | None = None
        #: Calls being said, with how much of their arguments was sent.
        self._calling: dict[str, int] = {}
        #: Calls that were said and have no result.
        self._open: set[str] = set()
        #: Those of them that the page is to carry out.
        self._pending: list[str] = []
        self._asked: list[Content] = []

    def take(self, update: Any) -> Iterator[Event]:
        """The events of an ``AgentResponseUpdate``. Raises `FrameworkError` if it is one."""
        self._model = getattr(update, "model", None) or self._model
        if failure := _failure(update):
            raise FrameworkError(failure)
        for content in update.contents:
            match content.type:
                case "text":
                    yield from self._say("TEXT", content, update.message_id)
                case "text_reasoning":
                    yield from self._say("REASONING", content, content.id or update.message_id)
                case "function_call":
                    yield from self._call(content, content.name)
                case "mcp_server_tool_call":
                    yield from self._call(content, content.tool_name)
                case "function_result":
                    yield from self._result(content.call_id, content.result)
                case "mcp_server_tool_result":
                    yield from self._result(content.call_id, content.output)
                case "function_approval_request":
                    self._asked.append(content)
                case "usage":
                    self._count(content.usage_details or {})
                    yield from self.close()
                case "error":
                    raise FrameworkError(content.message or "", content.error_code)

    def close(self) -> Iterator[Event]:
        """The model has finished an answer."""
        yield from self._end_calls()
        self._saying = self._message_id = None

    def finish(self) -> Iterator[Event]:
        """The agent has nothing more to say in this run."""
        yield from self.close()
        if not self._asked:
            # Put off for later by the framework, which will have forgotten.
            for call_id in sorted(self._open.difference(self._pending)):
                yield from self._result(call_id, UNANSWERED)

    def outcome(self, approvals: Any, context: RunContext) -> dict[str, Any]:
        """How the run ends: with questions, or well."""
        if self._asked:
            questions = [_question(request, approvals, context) for request in self._asked]
            return {"type": "interrupt", "interrupts": questions}
        pending = {"pendingToolCallIds": self._pending} if self._pending else {}
        return {"type": "success", **pending}

    def _say(self, kind: str, content: Any, of: str | None) -> Iterator[Event]:
        yield from self._end_calls()
        if self._saying is None or self._saying[:2] != (kind, of):
            if kind == "TEXT" and self._message_id is None:
                message_id = self._message_id = _new_id()
            else:
                message_id = _new_id()
            self._saying = (kind, of, message_id, 0)
        _, _, message_id, sent = self._saying
        # Some clients repeat the whole at the end.
        whole = content.merge_mode == "replace"
        text = content.text or ""
        delta = text[sent:] if whole else text
        if delta:
            yield {"type": f"{kind}_MESSAGE_CHUNK", "messageId": message_id, "delta": delta}
        self._saying = None if whole else (kind, of, message_id, sent + len(delta))

    def _call(self, content: Any, name: str | None) -> Iterator[Event]:
        call_id = content.call_id
        if call_id not in self._calling:
            if call_id in self._open:
                # Said before; here the framework hands it over to be carried out elsewhere.
                if content.user_input_request:
                    self._pending.append(call_id)
                return
            self._saying = None
            self._message_id = self._message_id or _new_id()
            self._calling[call_id] = 0
            self._open.add(call_id)
            yield {
                "type": "TOOL_CALL_START",
                "toolCallId": call_id,
                "toolCallName": name or "",
                "parentMessageId": self._message_id,
            }
        arguments = content.arguments or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(_plain(arguments))
        sent = self._calling[call_id]
        delta = arguments[sent:] if content.merge_mode == "replace" else arguments
        if delta:
            self._calling[call_id] = sent + len(delta)
            yield {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": delta}

    def _result(self, call_id: str, result: Any) -> Iterator[Event]:
        yield from self.close()
        self._open.discard(call_id)
        yield {
            "type": "TOOL_CALL_RESULT",
            "messageId": _new_id(),
            "toolCallId": call_id,
            "content": result if isinstance(result, str) else json.dumps(_plain(result)),
        }

    def _end_calls(self) -> Iterator[Event]:
        for call_id in self._calling:
            yield {"type": "TOOL_CALL_END", "toolCallId": call_id}
        self._calling.clear()

    def _count(self, details: Mapping[str, Any]) -> None:
        # Of all answers in this run so far: the framework adds them up.
        counts = {USAGE[key]: value for key, value in details.items() if key in USAGE and value}
        if counts:
            model = {"model": self._model} if self._model else {}
            self.usage = {"usage": [{**model, **counts}]}


def _needs_session(agent: Any) -> bool:
    """Whether what this agent does hangs on a session.

    With one, the framework puts off its own tools until the page has answered those called beside
    them, which may be never.
    """
    from agent_framework import InMemoryHistoryProvider

    if not hasattr(agent, "default_options"):
        return True
    providers = getattr(agent, "context_providers", None) or []
    return any(not isinstance(each, InMemoryHistoryProvider) for each in providers) or any(
        getattr(tool, "approval_mode", None) not in (None, "never_require")
        for tool in (*_own_tools(agent), *(getattr(agent, "mcp_tools", None) or []))
    )


def _own_tools(agent: Any) -> list[Any]:
    tools = list((getattr(agent, "default_options", None) or {}).get("tools") or [])
    for server in getattr(agent, "mcp_tools", None) or []:
        tools += server.functions
    return tools


def _failure(update: Any) -> str:
    """What the client of the Responses API keeps to itself: that the model broke down."""
    raw = update
    while (raw := getattr(raw, "raw_representation", None)) is not None:
        if getattr(raw, "type", None) == "response.failed":
            error = getattr(raw.response, "error", None)
            return str(getattr(error, "message", None) or "The model failed.")
    return ""


def _question(request: Content, approvals: Any, context: RunContext) -> dict[str, Any]:
    call: Any = request.function_call
    return {
        "id": seal([_plain(request.to_dict()), _plain(approvals)], context),
        "reason": REASON,
        "message": f"Allow {call.name}?",
        "toolCallId": call.call_id,
        "responseSchema": RESPONSE_SCHEMA,
        "metadata": {"toolName": call.name, "arguments": _plain(call.parse_arguments() or {})},
    }


def _answers(session: AgentSession | None, context: RunContext) -> list[Content]:
    """What the user decided; the session learns again what it had asked."""
    from agent_framework import Content

    answers: list[Content] = []
    if session is None:
        return answers
    for entry in context.input.resume or []:
        request, approvals = unseal(entry["interruptId"], context)
        session.state[APPROVALS] = approvals
        asked = Content.from_dict(request)
        answers.append(asked.to_function_approval_response(is_approved(entry)))
    return answers


def _conversation(context: RunContext, *, new_only: bool) -> list[Message]:
    from agent_framework import Content, Message

    resumes = bool(context.input.resume)
    wire = news(context.messages) if new_only else repaired(context.messages, open_end=resumes)
    messages = []
    for message in wire:
        contents = []
        if message["role"] == "tool":
            result = text_of(message["content"])
            contents.append(Content.from_function_result(message["toolCallId"], result=result))
        else:
            contents += [_content(part) for part in parts_of(message.get("content") or "")]
        for call in message.get("toolCalls") or ():
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            contents.append(Content.from_function_call(call["id"], name, arguments=arguments))
        if contents:
            messages.append(Message(message["role"], contents))
    return messages


def _content(part: str | Attachment) -> Content:
    from agent_framework import Content

    if isinstance(part, str):
        return Content.from_text(part)
    if part.data is not None:
        return Content.from_data(part.data, part.media_type)
    return Content.from_uri(part.url, media_type=part.media_type)


def _page_tools(agent: Any, context: RunContext) -> list[FunctionTool]:
    """The tools of the page. One that is named like a tool of the agent does not exist."""
    from agent_framework import FunctionTool

    names = {getattr(tool, "name", None) for tool in _own_tools(agent)}
    return [
        FunctionTool(
            name=tool["name"],
            description=tool["description"],
            input_model=tool.get("parameters") or {"type": "object", "properties": {}},
            func=None,
        )
        for tool in context.input.tools
        if tool["name"] not in names
    ]


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it."""
    return json.loads(json.dumps(value, default=str))


def _new_id() -> str:
    return f"af-{uuid4().hex}"
