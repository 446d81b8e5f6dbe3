"""``manage.py copilotkit_agents``: which agents there are, and what one of them says."""

from __future__ import annotations

import uuid
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.http import HttpRequest

from copilotkit_django.agents.base import Agent, RunInput
from copilotkit_django.agents.registry import AgentRegistry
from copilotkit_django.conf import Options
from copilotkit_django.events.wire import decode
from copilotkit_django.management.runner import load_options
from copilotkit_django.management.terminal import printable, user_named
from copilotkit_django.runners.base import RunPolicy, RunRequest, ThreadRef
from copilotkit_django.runners.task import RunTask
from copilotkit_django.workers import call

#: Whose threads a call without --user is about.
NOBODY = "terminal"


class Command(BaseCommand):
    help = (
        "List the agents, or call one and print what it says as it says it. "
        "The conversation is not kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("agent", nargs="?", help="The id of the agent to call.")
        parser.add_argument("text", nargs="?", help="What to say to it.")
        parser.add_argument("--user", metavar="USERNAME", help="Whom the agent is to serve.")
        parser.add_argument(
            "--events", action="store_true", help="Print the events, as JSON Lines, not the text."
        )

    def handle(
        self,
        *args: Any,
        agent: str | None,
        text: str | None,
        user: str | None,
        events: bool,
        **options: Any,
    ) -> None:
        settings = load_options()
        caller = None if user is None else user_named(user)
        request = _request(caller)
        try:
            agents = async_to_sync(AgentRegistry(settings.agents).all)(request)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if agent is None:
            self._list(agents)
            return
        if agent not in agents:
            known = ", ".join(agents) or "none"
            raise CommandError(f"There is no agent {agent!r}. Those there are: {known}.")
        if text is None:
            raise CommandError(f'Say something to it: copilotkit_agents {agent} "Hello!"')
        async_to_sync(self._call)(settings, agents[agent], agent, text, request, caller, events)

    def _list(self, agents: dict[str, Agent]) -> None:
        width = max(map(len, agents), default=0)
        for agent_id, agent in agents.items():
            name = f"{agent.name}: " if agent.name not in ("", agent_id) else ""
            line = f"{agent_id:<{width}}  {name}{agent.description}"
            self.stdout.write(printable(line.rstrip()))

    async def _call(
        self,
        settings: Options,
        agent: Agent,
        agent_id: str,
        text: str,
        request: HttpRequest,
        user: Any,
        as_events: bool,
    ) -> None:
        thread = ThreadRef(await _scope(settings, request, user), str(uuid.uuid4()))
        message = {"id": str(uuid.uuid4()), "role": "user", "content": text}
        task = RunTask(
            RunRequest(
                thread=thread,
                agent_id=agent_id,
                agent=agent.clone(),
                input=RunInput(thread.thread_id, str(uuid.uuid4()), [message], state={}),
                user=user,
                policy=RunPolicy(stop_grace=settings.stop_grace_seconds, expose_errors=True),
            ),
            echo=False,
        )
        task.start()
        printer = _Printer(self)
        try:
            async for batch in task.log.read():
                for event in batch:
                    if as_events:
                        self.stdout.write(event.decode())
                    else:
                        printer.take(decode(event))
                self.stdout.flush()
        finally:
            # Ctrl-C ends the run, too.
            task.cancel()
            await task.wait(settings.stop_grace_seconds + 1)
        printer.end_line()
        if task.outcome == "failed":
            raise CommandError(printable(printer.error or task.error or "The run failed."))


class _Printer:
    """Writes what an agent says to the output, and what else it does to the error output."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._in_line = False
        self._arguments: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.error: str | None = None

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "TEXT_MESSAGE_CONTENT":
            self._command.stdout.write(printable(event["delta"], lines=True), ending="")
            self._in_line = True
        elif kind == "TEXT_MESSAGE_END":
            self.end_line()
        elif kind == "TOOL_CALL_START":
            self._names[event["toolCallId"]] = event["toolCallName"]
            self._arguments[event["toolCallId"]] = ""
        elif kind == "TOOL_CALL_ARGS" and event["toolCallId"] in self._arguments:
            self._arguments[event["toolCallId"]] += event["delta"]
        elif kind == "TOOL_CALL_END" and event["toolCallId"] in self._arguments:
            call_id = event["toolCallId"]
            self._note(f"{self._names.pop(call_id)}({self._arguments.pop(call_id)})")
        elif kind == "TOOL_CALL_RESULT":
            self._note(f"-> {event['content']}")
        elif kind == "RUN_ERROR":
            self.error = event["message"]

    def _note(self, text: str) -> None:
        self.end_line()
        self._command.stderr.write(printable(text))

    def end_line(self) -> None:
        if self._in_line:
            self._command.stdout.write("")
            self._in_line = False


def _request(user: Any) -> HttpRequest:
    """What an agents factory is called with: there is no request, but there may be a user."""
    request = HttpRequest()
    request.method = "POST"
    found = AnonymousUser() if user is None else user

    async def auser() -> Any:
        return found

    request.user, request.auser = found, auser
    return request


async def _scope(settings: Options, request: HttpRequest, user: Any) -> str:
    if user is None:
        return NOBODY
    if settings.thread_scope is not None:
        return str(await call(settings.thread_scope, request, user))
    return f"user:{user.pk}"
