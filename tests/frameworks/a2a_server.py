"""An A2A agent that answers with a model: a server of its own, as they are in real life."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from typing import Any

import uvicorn
from a2a.helpers import get_message_text, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, TaskState
from google.protobuf.json_format import MessageToDict
from openai import AsyncOpenAI
from starlette.applications import Starlette

from tests.frameworks import tools

WIPE = {
    "type": "function",
    "function": {
        "name": "wipe",
        "description": "Delete something for good.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
    },
}


class Assistant(AgentExecutor):
    """Streams what the model says as an artifact, what it thinks as progress, and asks before it
    wipes anything. It remembers its conversations by the id of the A2A context."""

    def __init__(self, base_url: str) -> None:
        self.model = AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0)
        self.conversations: dict[str, list[Any]] = defaultdict(
            lambda: [{"role": "system", "content": tools.PROMPT}]
        )

    async def execute(self, context: RequestContext, queue: EventQueue) -> None:
        task = context.current_task
        said = self.conversations[context.context_id]
        if task is None:
            task = new_task_from_user_message(context.message)
            await queue.enqueue_event(task)
            said.append({"role": "user", "content": get_message_text(context.message)})
        elif task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED:
            [answer] = [MessageToDict(part.data) for part in context.message.parts]
            call = said[-1]["tool_calls"][0]
            arguments = json.loads(call["function"]["arguments"])
            result = tools.wipe(**arguments) if answer == {"approved": True} else "They said no."
            said.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        await self._answer(TaskUpdater(queue, task.id, task.context_id), said)

    async def _answer(self, task: TaskUpdater, said: list[Any]) -> None:
        answer, calls = "", []
        stream = await self.model.chat.completions.create(
            model="gpt-5", messages=said, tools=[WIPE], stream=True
        )
        async with stream:
            async for chunk in stream:
                delta = chunk.choices[0].delta if chunk.choices else None
                if thought := getattr(delta, "reasoning_content", None):
                    await task.start_work(task.new_agent_message([new_text_part(thought)]))
                if delta and delta.content:
                    parts = [new_text_part(delta.content)]
                    await task.add_artifact(parts, artifact_id="answer", append=bool(answer))
                    answer += delta.content
                for call in (delta and delta.tool_calls) or ():
                    if call.id:
                        function = {"name": call.function.name, "arguments": ""}
                        calls.append({"id": call.id, "type": "function", "function": function})
                    calls[-1]["function"]["arguments"] += call.function.arguments or ""
        if calls:
            said.append({"role": "assistant", "tool_calls": calls})
            question = task.new_agent_message([new_text_part("Wipe it?")])
            await task.requires_input(question)
            return
        said.append({"role": "assistant", "content": answer})
        await task.complete()

    async def cancel(self, context: RequestContext, queue: EventQueue) -> None:
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


class Server:
    """Serves an executor on a port of this machine, from a thread of its own."""

    def __init__(self, executor: AgentExecutor, *, streaming: bool = True) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.card = AgentCard(
            name="assistant",
            description="Assists.",
            version="1",
            capabilities=AgentCapabilities(streaming=streaming),
            default_input_modes=["text"],
            default_output_modes=["text"],
            supported_interfaces=[
                AgentInterface(
                    url=f"{self.url}/", protocol_binding="JSONRPC", protocol_version="1.0"
                )
            ],
        )
        handler = DefaultRequestHandler(
            agent_executor=executor, task_store=InMemoryTaskStore(), agent_card=self.card
        )
        #: The headers of each call.
        self.headers: list[dict[bytes, bytes]] = []
        app = Starlette(
            routes=[*create_agent_card_routes(self.card), *create_jsonrpc_routes(handler, "/")]
        )

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.headers.append(dict(scope["headers"]))
            await app(scope, receive, send)

        config = uvicorn.Config(noting, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="a2a"
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()
