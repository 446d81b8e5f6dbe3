"""An A2A agent without a model: the user's message says what to do."""

from __future__ import annotations

import asyncio
import json
import threading

from a2a.helpers import (
    new_data_part,
    new_task_from_user_message,
    new_text_message,
    new_text_part,
)
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from google.protobuf.json_format import MessageToDict


class Obedient(AgentExecutor):
    def __init__(self) -> None:
        #: The task of each message.
        self.tasks: list[str] = []
        self.waiting = threading.Event()
        self.cancelled = threading.Event()

    async def execute(self, context: RequestContext, queue: EventQueue) -> None:
        text = context.get_user_input().split("\n")[0]
        if text == "message":
            answer = new_text_message("Just this.", context_id=context.context_id)
            await queue.enqueue_event(answer)
            return
        going_on = context.current_task
        task = going_on or new_task_from_user_message(context.message)
        if going_on is None:
            await queue.enqueue_event(task)
        self.tasks.append(task.id)
        updater = TaskUpdater(queue, task.id, task.context_id)
        if going_on is not None:
            await self._say(updater, f"You want: {text}")
            await updater.complete()
            return
        await getattr(self, f"_{text}")(context, updater)

    async def cancel(self, context: RequestContext, queue: EventQueue) -> None:
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()
        self.cancelled.set()

    async def _say(self, task: TaskUpdater, text: str) -> None:
        await task.add_artifact([new_text_part(text)], artifact_id="answer")

    async def _artifacts(self, context: RequestContext, task: TaskUpdater) -> None:
        for number, word in enumerate(["one ", "two"], start=1):
            parts = [new_text_part(word)]
            await task.add_artifact(parts, artifact_id="answer", append=number > 1)
            parts = [new_data_part({"n": number})]
            await task.add_artifact(parts, artifact_id="table", name="Numbers", append=number > 1)
        await task.complete()

    async def _ask(self, context: RequestContext, task: TaskUpdater) -> None:
        await task.requires_input(task.new_agent_message([new_text_part("Which one?")]))

    async def _fail(self, context: RequestContext, task: TaskUpdater) -> None:
        await task.failed(task.new_agent_message([new_text_part("vault-7 does not answer")]))

    async def _reject(self, context: RequestContext, task: TaskUpdater) -> None:
        await task.reject(task.new_agent_message([new_text_part("Not my job.")]))

    async def _crash(self, context: RequestContext, task: TaskUpdater) -> None:
        raise ConnectionError("vault-7 does not answer")

    async def _wait(self, context: RequestContext, task: TaskUpdater) -> None:
        await task.start_work()
        self.waiting.set()
        await asyncio.Event().wait()

    async def _progress(self, context: RequestContext, task: TaskUpdater) -> None:
        for text in ("Looking. ", "Still looking."):
            await task.start_work(task.new_agent_message([new_text_part(text)]))
        await self._say(task, "Found.")
        await task.complete()

    async def _parts(self, context: RequestContext, task: TaskUpdater) -> None:
        parts = [MessageToDict(part) for part in context.message.parts]
        await self._say(task, json.dumps(parts))
        await task.complete()

    async def _metadata(self, context: RequestContext, task: TaskUpdater) -> None:
        await self._say(task, json.dumps(MessageToDict(context.message.metadata)))
        await task.complete()
