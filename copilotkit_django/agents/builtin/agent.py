"""The agent that answers with a language model."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, Self, cast

from copilotkit_django.agents.base import Agent, Event, RunContext
from copilotkit_django.agents.builtin import factory, mcp
from copilotkit_django.agents.builtin.conversation import Conversation, Plan
from copilotkit_django.agents.builtin.extras import require_engine, require_mcp
from copilotkit_django.agents.builtin.factory import Factory
from copilotkit_django.agents.builtin.models import InvalidModel, ModelName, get_model
from copilotkit_django.agents.builtin.offered import STATE_CALLEES, Offer, RunRefused
from copilotkit_django.agents.builtin.prompt import MAX_CONTEXT, MAX_STATE, system_prompt
from copilotkit_django.agents.builtin.settings import (
    CallSettings,
    chosen_tool,
    overridable,
    overridden,
)
from copilotkit_django.agents.tools import Tool
from copilotkit_django.workers import call

if TYPE_CHECKING:
    from pydantic_ai.models import Model

#: Answers of the model in one run, where the agent names no other limit.
MAX_STEPS = 10

#: What every such agent can do, as ``/info`` reports it.
CAPABILITIES: Mapping[str, Mapping[str, Any]] = {
    "tools": {"supported": True, "clientProvided": True},
    "transport": {"streaming": True},
    "humanInTheLoop": {"interrupts": True},
}


class BuiltInAgent(Agent):
    """A language model with the project's tools, the page's tools, and the shared state.

    ``model``: ``"openai/gpt-5"``, ``"anthropic:claude-sonnet-4-6"`` …, or a model of pydantic-ai.
    Needs the extra ``copilotkit_django[builtin]`` and that of the provider. ``api_key`` wins over
    the provider's environment variable.

    ``prompt``: what the model is told before anything else; a function (sync or async) is called
    with the run context. ``tools``: made with `copilotkit_django.tool`. ``max_steps``: answers of
    the model in one run; a server tool's result is read by the next one. By default
    `MAX_STEPS`. ``mcp_servers``: ``{"type": "http" | "sse", "url": …, "headers": …}``, connected
    to for each run; ``mcp_clients``: clients of ``fastmcp`` the project
    owns.

    ``overridable_properties``: what pages may choose by ``forwardedProps``: any of `OVERRIDABLE`.
    ``forward_system_messages``, ``forward_developer_messages``: whether such messages of the
    client reach the model; they carry the authority of the prompt. ``max_context_chars`` and
    ``max_state_chars``: how much of what the page shares reaches the model. The other options are
    those of `CallSettings`. ``capabilities`` are merged into what ``/info`` reports, by category.

    In place of a model, ``factory``: a function (sync or async) or async generator function that is
    called with a `FactoryContext` for each run. What it yields, or returns as an iterator, are
    AG-UI events, or the chunks of a stream of ``openai`` or LangChain; it may also return a chat
    model of LangChain, an agent of pydantic-ai or of this package, or a text. The run's begin and
    end are added. The options that go with a model have no effect then: no prompt, no tools but
    those of the page, no MCP.

    Raises `InvalidModel`, `MissingExtra`, `TypeError` and `ValueError` for what cannot work.
    """

    def __init__(
        self,
        model: str | Model | None = None,
        *,
        factory: Factory | None = None,
        name: str = "",
        description: str = "",
        prompt: str | Callable[[RunContext], Any] = "",
        tools: Iterable[Tool] = (),
        api_key: str | None = None,
        max_steps: int | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        stop_sequences: Sequence[str] | None = None,
        seed: int | None = None,
        max_retries: int | None = None,
        provider_options: Mapping[str, Any] | None = None,
        overridable_properties: Iterable[str] = (),
        mcp_servers: Iterable[mcp.McpServer | Mapping[str, Any]] = (),
        mcp_clients: Iterable[Any] = (),
        forward_system_messages: bool = False,
        forward_developer_messages: bool = False,
        max_context_chars: int = MAX_CONTEXT,
        max_state_chars: int = MAX_STATE,
        capabilities: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.prompt = prompt
        self.tools = _checked(tools)
        self.api_key = api_key
        self.max_steps = max_steps
        self.settings = CallSettings(
            max_output_tokens=max_output_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty,
            stop_sequences=stop_sequences,
            seed=seed,
            max_retries=max_retries,
            tool_choice=tool_choice,
            provider_options=dict(provider_options or {}),
        )
        self.settings.check()
        if max_steps is not None and (isinstance(max_steps, bool) or max_steps < 1):
            raise ValueError(f"max_steps is {max_steps!r}; at least one step is needed.")
        self.overridable_properties = overridable(overridable_properties)
        self.mcp_servers = tuple(mcp.McpServer.read(server) for server in mcp_servers)
        self.mcp_clients = tuple(mcp_clients)
        if self.mcp_servers or self.mcp_clients:
            require_mcp()
        self.forward_system_messages = forward_system_messages
        self.forward_developer_messages = forward_developer_messages
        self.max_context_chars = max_context_chars
        self.max_state_chars = max_state_chars
        self._capabilities = capabilities or {}
        if (model is None) is (factory is None):
            raise TypeError("BuiltInAgent takes a model, or a factory.")
        self.factory = factory
        self.model: ModelName | Model | None = None
        if factory is None:
            require_engine()
            self.model = _model(model)

    def clone(self) -> Self:
        # What it holds does not change during a run.
        return copy.copy(self)

    async def capabilities(self) -> Mapping[str, Any] | None:
        merged = {category: dict(known) for category, known in CAPABILITIES.items()}
        for category, given in self._capabilities.items():
            merged[category] = {**merged.get(category, {}), **given}
        return merged

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        if self.factory is not None:
            async with aclosing(factory.events(self.factory, context)) as made:
                async for event in made:
                    yield event
            return
        yield context.started()
        try:
            async with AsyncExitStack() as stack:
                conversation = await self._conversation(context, stack)
                async with aclosing(conversation.events()) as events:
                    async for event in events:
                        yield event
            yield context.finished(**conversation.end())
        except RunRefused as refusal:
            yield {
                "type": "RUN_ERROR",
                "message": str(refusal),
                "code": refusal.code,
                "threadId": context.thread_id,
                "runId": context.run_id,
            }

    async def _conversation(self, context: RunContext, stack: AsyncExitStack) -> Conversation:
        properties = context.input.forwarded_props
        settings, other_model = overridden(self.settings, properties, self.overridable_properties)
        suggestion = _suggestion(context)
        # First of all: it imports the engine, and not on the loop.
        model = await self._model_for(other_model)
        offer = Offer()
        offer.add_client_tools(context.input.tools)
        steps = 1
        if suggestion is None and context.purpose == "conversation":
            offer.add_tools(self.tools)
            for state_tool in STATE_CALLEES:
                offer.add_callee(state_tool, strict=False)
            if self.mcp_servers or self.mcp_clients:
                offer.add_tools(
                    await mcp.connect(self.mcp_servers, self.mcp_clients, context, stack)
                )
            steps = self.max_steps or MAX_STEPS
        plan = Plan(
            model=model,
            settings=settings,
            instructions=system_prompt(
                await self._prompt(context),
                context.input.context,
                context.state,
                max_context=self.max_context_chars,
                max_state=self.max_state_chars,
            ),
            max_steps=steps,
            forward_system=self.forward_system_messages,
            forward_developer=self.forward_developer_messages,
            suggestion=suggestion,
        )
        return Conversation(context, plan, offer)

    async def _prompt(self, context: RunContext) -> str:
        if callable(self.prompt):
            return str(await call(self.prompt, context) or "")
        # It may be a lazy translation.
        return str(self.prompt)

    async def _model_for(self, other: str | None) -> Model:
        if other is None:
            if isinstance(self.model, ModelName):
                return await get_model(self.model, self.api_key)
            return _refreshed(cast("Model", self.model))
        try:
            name = ModelName.parse(other)
            name.check()
        except InvalidModel as error:
            raise RunRefused(str(error), "INVALID_MODEL") from error
        # The key is for the provider it was configured for, not for one a page names.
        own = isinstance(self.model, ModelName) and self.model.provider == name.provider
        return await get_model(name, self.api_key if own else None)


class BasicAgent(BuiltInAgent):
    """The name `BuiltInAgent` had in earlier versions of CopilotKit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        warnings.warn("BasicAgent is called BuiltInAgent now.", DeprecationWarning, stacklevel=2)
        super().__init__(*arguments, **options)


def _checked(tools: Iterable[Any]) -> tuple[Tool, ...]:
    given = tuple(tools)
    for each in given:
        if not isinstance(each, Tool):
            hint = " Decorate it with @tool." if inspect.isroutine(each) else ""
            raise TypeError(f"{each!r} is no tool.{hint}")
    return given


def _model(model: Any) -> ModelName | Model:
    if isinstance(model, str):
        name = ModelName.parse(model)
        name.check()
        return name
    if not callable(getattr(model, "request_stream", None)):
        raise InvalidModel(f"{model!r} is neither the name of a model nor a model of pydantic-ai.")
    made: Model = model
    return made


def _refreshed(model: Model) -> Model:
    """The project's model, fit for this event loop.

    Its connections belong to the loop that opened them; pydantic-ai's own agents ask for new ones
    with each run, by this very method.
    """
    refresh = getattr(model, "_refresh_http_client", None)
    if refresh is not None:
        refresh()
    return model


def _suggestion(context: RunContext) -> str | None:
    """The tool a suggestion of the official client has to be a call of."""
    properties = context.input.forwarded_props
    choice = properties.get("toolChoice") if isinstance(properties, Mapping) else None
    if not isinstance(choice, Mapping) or choice.get("type") != "function":
        return None
    name = chosen_tool(choice)
    return name if [tool["name"] for tool in context.input.tools] == [name] else None
