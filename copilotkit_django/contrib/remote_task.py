"""One turn of an agent that speaks A2A, as events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from copilotkit_django.agents import Event, RunContext
from copilotkit_django.contrib.framework import FrameworkError
from copilotkit_django.contrib.interrupts import seal

if TYPE_CHECKING:
    from a2a.client import Client, ClientCallContext
    from a2a.types import Artifact, Message, Part, StreamResponse, Task, TaskStatus

logger = logging.getLogger("copilotkit.run")

#: Asking the other side to cancel a task may take so long: the user waits for stop meanwhile.
CANCEL_SECONDS = 2.0

#: How often a task is looked at that goes on without a stream.
POLL_SECONDS = 1.0

#: What the ids of messages begin with that ask the user something.
QUESTION = "a2a-question-"


class RemoteTask:
    """One turn of an A2A agent: what is sent, and what comes back as events."""

    def __init__(self, context: RunContext, client: Client, call: ClientCallContext) -> None:
        from a2a.types import TaskState

        self.states = TaskState
        self.id = ""
        self.state: int = TaskState.TASK_STATE_UNSPECIFIED
        self._context = context
        self._client = client
        self._call = call
        #: Something was sent, and it is not known how it ends.
        self._open = False
        #: What the agent said with the state the task is in.
        self._words = ""
        #: The agent answered without a task.
        self._answered = False
        self._heard: set[str] = set()
        #: Per artifact: the id of our message, how much of its text was sent, its other parts.
        self._artifacts: dict[str, tuple[str, int, int]] = {}

    async def send(
        self, parts: list[Part], task_id: str, metadata: Mapping[str, Any] | None
    ) -> AsyncGenerator[Event]:
        """Send the user's message and yield what the agent does, until it has or wants nothing
        more."""
        from a2a.client import A2AClientError
        from a2a.helpers import new_message
        from a2a.types import GetTaskRequest, Role, SendMessageRequest
        from a2a.utils.errors import A2AError

        message = new_message(
            parts, context_id=self._context.thread_key, task_id=task_id, role=Role.ROLE_USER
        )
        if metadata:
            message.metadata.update(metadata)
        self.id, self._open = task_id, True
        request = SendMessageRequest(message=message)
        try:
            async with aclosing(self._client.send_message(request, context=self._call)) as stream:
                async for response in stream:
                    for event in self._take(response):
                        yield event
        except A2AError as error:
            # Refused by the other side, or cut off from it.
            self._open = isinstance(error, A2AClientError)
            raise
        while self.state in self._going_on():
            await asyncio.sleep(POLL_SECONDS)
            task = await self._client.get_task(GetTaskRequest(id=self.id), context=self._call)
            for event in self._take_task(task):
                yield event
        self._open = False

    async def cancel(self, task_id: str) -> None:
        """Ask for the end of a task."""
        from a2a.types import CancelTaskRequest

        await self._client.cancel_task(CancelTaskRequest(id=task_id), context=self._call)
        self._answered = True

    async def leave(self) -> None:
        """Nobody listens any more: what still goes on is cancelled."""
        if not self._open or self.state not in (
            self.states.TASK_STATE_UNSPECIFIED,
            *self._going_on(),
        ):
            return
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                for task_id in [self.id] if self.id else await self._unknown():
                    await self.cancel(task_id)
        except Exception as error:
            logger.warning(
                "A task of agent %r could not be cancelled and may go on: %r",
                self._context.agent_id,
                error,
            )

    def ending(self, *, interrupts: bool) -> Iterator[Event]:
        """The last events of the run. Raises `FrameworkError` if the task failed."""
        states = self.states
        failures = {
            states.TASK_STATE_FAILED: "failed",
            states.TASK_STATE_REJECTED: "was rejected",
            states.TASK_STATE_CANCELED: "was cancelled by the agent",
        }
        if self.state == states.TASK_STATE_REJECTED and self._words:
            # Meant for the user. What comes with a failure may be the text of an exception.
            yield _text(_new_id(), self._words)
        if self.state in failures:
            raise FrameworkError(f"The task {failures[self.state]}: {self._words}")
        if self.state in (states.TASK_STATE_INPUT_REQUIRED, states.TASK_STATE_AUTH_REQUIRED):
            yield from self._ask(interrupts=interrupts)
        elif self.state == states.TASK_STATE_COMPLETED or self._answered:
            yield self._context.finished()
        else:
            raise FrameworkError("The agent ended its answer without a message or a result.")

    def _ask(self, *, interrupts: bool) -> Iterator[Event]:
        question = seal(self.id, self._context)
        if not interrupts:
            if self._words:
                yield _text(QUESTION + question, self._words)
            yield self._context.finished()
            return
        needs_input = self.state == self.states.TASK_STATE_INPUT_REQUIRED
        interrupt = {"id": question, "reason": "input_required" if needs_input else "auth_required"}
        if self._words:
            interrupt["message"] = self._words
        yield self._context.finished(outcome={"type": "interrupt", "interrupts": [interrupt]})

    def _going_on(self) -> tuple[int, ...]:
        return (self.states.TASK_STATE_SUBMITTED, self.states.TASK_STATE_WORKING)

    async def _unknown(self) -> list[str]:
        """The tasks that go on in this thread: ours was not named before it was to be left."""
        from a2a.types import ListTasksRequest

        request = ListTasksRequest(context_id=self._context.thread_key)
        answer = await self._client.list_tasks(request, context=self._call)
        return [task.id for task in answer.tasks if task.status.state in self._going_on()]

    def _take(self, response: StreamResponse) -> Iterator[Event]:
        kind = response.WhichOneof("payload")
        if kind == "task":
            yield from self._take_task(response.task)
        elif kind == "message":
            self._answered = True
            yield from self._say(response.message)
        elif kind == "status_update":
            self.id = response.status_update.task_id or self.id
            yield from self._take_status(response.status_update.status)
        elif kind == "artifact_update":
            update = response.artifact_update
            self.id = update.task_id or self.id
            yield from self._take_artifact(update.artifact, append=update.append)

    def _take_task(self, task: Task) -> Iterator[Event]:
        self.id = task.id
        for artifact in task.artifacts:
            # Complete here: what is new is what goes beyond what was sent.
            _, text, others = self._artifacts.get(artifact.artifact_id, ("", 0, 0))
            yield from self._take_artifact(artifact, append=True, skip=(text, others))
        yield from self._take_status(task.status)

    def _take_status(self, status: TaskStatus) -> Iterator[Event]:
        self.state = status.state
        self._words = ""
        if not status.HasField("message"):
            return
        if self.state in (self.states.TASK_STATE_COMPLETED, *self._going_on()):
            yield from self._say(status.message)
        else:
            self._words = _text_of(status.message.parts)
            yield from self._show(status.message)

    def _say(self, message: Message) -> Iterator[Event]:
        """A message of the agent: an answer, or what it thinks while it works."""
        if message.message_id in self._heard:
            return
        self._heard.add(message.message_id)
        if text := _text_of(message.parts):
            kind = "REASONING" if self.state in self._going_on() else "TEXT"
            yield {**_text(_new_id(), text), "type": f"{kind}_MESSAGE_CHUNK"}
        yield from self._show(message)

    def _show(self, message: Message) -> Iterator[Event]:
        if others := _others(message.parts):
            yield _activity(_new_id(), "a2a-message", {"parts": others})

    def _take_artifact(
        self, artifact: Artifact, *, append: bool, skip: tuple[int, int] = (0, 0)
    ) -> Iterator[Event]:
        known = self._artifacts.get(artifact.artifact_id) if append else None
        message_id, sent, shown = known or (_new_id(), 0, 0)
        text = _text_of(artifact.parts)[skip[0] :]
        others = _others(artifact.parts)[skip[1] :]
        if text:
            yield _text(message_id, text)
        if others and not shown:
            about = {"artifactId": artifact.artifact_id}
            about |= {"name": artifact.name} if artifact.name else {}
            about |= {"description": artifact.description} if artifact.description else {}
            yield _activity(f"{message_id}-parts", "a2a-artifact", {**about, "parts": others})
        elif others:
            yield {
                "type": "ACTIVITY_DELTA",
                "messageId": f"{message_id}-parts",
                "activityType": "a2a-artifact",
                "patch": [{"op": "add", "path": "/parts/-", "value": part} for part in others],
            }
        progress = (message_id, sent + len(text), shown + len(others))
        self._artifacts[artifact.artifact_id] = progress


def _text_of(parts: Iterable[Part]) -> str:
    return "".join(part.text for part in parts if part.WhichOneof("content") == "text")


def _others(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The parts that are no text, as A2A writes them in JSON."""
    from google.protobuf.json_format import MessageToDict

    return [MessageToDict(part) for part in parts if part.WhichOneof("content") != "text"]


def _text(message_id: str, delta: str) -> dict[str, Any]:
    return {
        "type": "TEXT_MESSAGE_CHUNK",
        "messageId": message_id,
        "delta": delta,
    }


def _activity(message_id: str, activity_type: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "ACTIVITY_SNAPSHOT",
        "messageId": message_id,
        "activityType": activity_type,
        "content": content,
    }


def _new_id() -> str:
    # Not the other side's: it could name a message of the user.
    return f"a2a-{uuid4().hex}"
