"""One run of an agent on a model: ask, carry out, ask again."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.builtin.calls import Call, CallRunner
from copilotkit_django.agents.builtin.messages import as_content, history, result_of, results
from copilotkit_django.agents.builtin.offered import Offer, RunRefused
from copilotkit_django.agents.builtin.sealing import PROVIDER
from copilotkit_django.agents.builtin.settings import CallSettings, chosen_tool
from copilotkit_django.agents.builtin.stream import ResponseStream
from copilotkit_django.agents.builtin.usage import UsageReport
from copilotkit_django.agents.tools import ToolResult, ToolSession, is_approved
from copilotkit_django.events.wire import encode

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model

    from copilotkit_django.agents.base import RunContext
    from copilotkit_django.agents.tools import Tool

logger = logging.getLogger("copilotkit.run")

Event = dict[str, Any]

#: What the model is told of a call the person did not agree to.
REFUSED = "The user refused this call. Do not try it again unless they ask for it."


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run works with."""

    model: Model
    settings: CallSettings
    #: The system prompt.
    instructions: str | None
    max_steps: int
    forward_system: bool = False
    forward_developer: bool = False
    #: The one tool of the page the answer has to be a call of: a suggestion.
    suggestion: str | None = None


class Conversation:
    """The events of one run, between its start and its end. Made for one run."""

    def __init__(self, context: RunContext, plan: Plan, offer: Offer) -> None:
        self.usage = UsageReport()
        self._context = context
        self._plan = plan
        self._offer = offer
        self._runner = CallRunner(offer, ToolSession(context))
        self._interrupts: list[Event] = []
        #: Calls the page is to answer.
        self._pending: list[str] = []

    async def events(self) -> AsyncGenerator[Event]:
        """Carry out what was decided, then ask the model until it is done."""
        answers: dict[str, str] = {}
        async with aclosing(self._resume(answers)) as events:
            async for event in events:
                yield event
        if self._interrupts:
            return
        plan = self._plan
        messages = history(
            self._context.messages,
            instructions=plan.instructions,
            system=plan.forward_system,
            developer=plan.forward_developer,
            # As text, which it would become elsewhere, it would only teach the model to talk so.
            reasoning=plan.model.system == PROVIDER,
            answers=answers,
        )
        if not messages:
            raise RunRefused("The run has no messages to answer.", "NO_MESSAGES")
        for step in range(plan.max_steps):
            # Closed here and not by the collector: a call that is left hangs up at once.
            async with aclosing(self._ask(messages, step)) as events:
                async for event in events:
                    yield event
            calls = _calls(messages[-1])
            async with aclosing(self._answer(calls)) as events:
                async for event in events:
                    yield event
            if not calls or self._interrupts or self._pending:
                return
            messages.append(_results(calls))

    def end(self) -> dict[str, Any]:
        """The fields of the run's ``RUN_FINISHED``."""
        fields = self.usage.field()
        if self._interrupts:
            fields["outcome"] = {"type": "interrupt", "interrupts": self._interrupts}
        elif self._pending and self._context.input.protocol_version is not None:
            fields["outcome"] = {"type": "success", "pendingToolCallIds": self._pending}
        return fields

    async def _ask(self, messages: list[ModelMessage], step: int) -> AsyncGenerator[Event]:
        """One answer of the model, which is added to ``messages``."""
        from pydantic_ai.direct import model_request_stream

        translation = ResponseStream()
        options, parameters = self._request(step)
        async with model_request_stream(
            self._plan.model,
            messages,
            model_settings=options,  # type: ignore[arg-type]
            model_request_parameters=parameters,
        ) as stream:
            try:
                async for event in stream:
                    for translated in translation.feed(event):
                        yield translated
            finally:
                self.usage.add(stream.get())
                self._context.usage[:] = self.usage.entries
            response = stream.get()
        for translated in translation.finish():
            yield translated
        messages.append(response)

    def _request(self, step: int) -> tuple[dict[str, Any], Any]:
        from pydantic_ai.models import ModelRequestParameters

        plan = self._plan
        options = plan.settings.for_engine()
        definitions = self._offer.definitions
        # A choice that forces a call is for the first answer: the last one has to be a text.
        choice = plan.settings.tool_choice if step == 0 else None
        if plan.suggestion is not None:
            definitions, choice = self._offer.only(plan.suggestion), "required"
        if (name := chosen_tool(choice)) is not None:
            options["tool_choice"] = [name] if self._offer.knows(name) else "auto"
        elif choice is not None:
            options["tool_choice"] = choice
        if not definitions:
            options.pop("tool_choice", None)
        for name in plan.model.unsupported_settings & options.keys():
            logger.debug("%s takes no %s; it is left out.", plan.model.model_name, name)
            del options[name]
        return options, ModelRequestParameters(function_tools=definitions)

    async def _answer(self, calls: Sequence[Call]) -> AsyncGenerator[Event]:
        """Carry out what the server answers; take note of what the page has to."""
        ours = []
        for call in calls:
            tool = self._offer.interrupt(call.name)
            if tool is not None:
                self._interrupts.append(_interrupt(tool, call))
            elif self._runner.is_for_server(call):
                ours.append(call)
            else:
                self._pending.append(call.id)
        async with aclosing(self._runner.carry_out(ours)) as events:
            async for event in events:
                yield event
        self._interrupts += [call.interrupt for call in ours if call.interrupt is not None]

    async def _resume(self, answers: dict[str, str]) -> AsyncGenerator[Event]:
        """What the entries of ``resume`` amount to: results, which go into ``answers``."""
        messages = self._context.messages
        found = results(messages)
        made = {
            call["id"]: (place, call["function"])
            for place, message in enumerate(messages)
            if message["role"] == "assistant"
            for call in message.get("toolCalls") or ()
        }
        approved: list[Call] = []
        for entry in self._context.input.resume or ():
            call_id = entry["interruptId"]
            place, function = made.get(call_id, (-1, None))
            if function is None or result_of(found, call_id, place) is not None:
                continue
            call = Call(call_id, function["name"], function["arguments"])
            if self._offer.callee(call.name) is None:
                call.result = ToolResult(encode(_payload(entry)).decode())
            elif is_approved(entry):
                call.approved = True
                approved.append(call)
                continue
            else:
                call.result = ToolResult(_refusal(entry), error=True)
            answers[call_id] = call.result.content
            yield call.result.event(call_id)
        async with aclosing(self._runner.carry_out(approved)) as events:
            async for event in events:
                yield event
        for call in approved:
            if call.interrupt is not None:
                self._interrupts.append(call.interrupt)
            elif call.result is not None:
                answers[call.id] = call.result.content


def _calls(response: ModelMessage) -> list[Call]:
    from pydantic_ai.messages import ModelResponse

    if not isinstance(response, ModelResponse):
        return []
    return [
        Call(part.tool_call_id, part.tool_name, part.args_as_json_str())
        for part in response.tool_calls
    ]


def _results(calls: Sequence[Call]) -> ModelMessage:
    from pydantic_ai.messages import ModelRequest, ToolReturnPart

    parts = []
    for call in calls:
        result = call.result or ToolResult("There is no result.", error=True)
        outcome: Any = "failed" if result.error else "success"
        content = as_content(result.content)
        parts.append(ToolReturnPart(call.name, content, call.id, outcome=outcome))
    return ModelRequest(parts=parts)


def _interrupt(tool: Tool, call: Call) -> Event:
    interrupt = {"id": call.id, "reason": tool.interrupt_reason, "toolCallId": call.id}
    if tool.interrupt_message:
        # It may be a lazy translation.
        interrupt["message"] = str(tool.interrupt_message)
    return interrupt


def _payload(entry: Mapping[str, Any]) -> Any:
    """What the page answered an interrupt tool with."""
    if entry["status"] == "cancelled":
        return {"status": "cancelled"}
    payload = entry.get("payload")
    return {"status": "resolved"} if payload is None else payload


def _refusal(entry: Mapping[str, Any]) -> str:
    payload = entry.get("payload")
    reason = payload.get("reason") if isinstance(payload, Mapping) else None
    return f"{REFUSED} They said: {reason}" if isinstance(reason, str) and reason else REFUSED
