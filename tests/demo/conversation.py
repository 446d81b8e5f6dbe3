"""Talk to the demo in a process of its own, because it has settings of its own.

    DEMO_DATABASE=/tmp/demo.sqlite3 python -m tests.demo.conversation

Prints one JSON object: what the page and each turn of a conversation answered.
"""

import asyncio
import json
import os
import re
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")
TOOLS = [{"name": name, "description": "", "parameters": {}} for name in ("setAccent", "setTheme")]


class Visitor:
    """A browser with one conversation per agent."""

    def __init__(self) -> None:
        from django.test import AsyncClient

        self.client = AsyncClient()
        self.messages: list[dict[str, Any]] = []
        self.turns = 0

    async def page(self) -> dict[str, Any]:
        response = await self.client.get("/")
        config = re.search(r'id="config"[^>]*>(.*?)</script>', response.content.decode())
        return {
            "status": response.status_code,
            "policy": response["Content-Security-Policy"],
            "todos": json.loads(config[1])["state"]["todos"],
        }

    async def say(self, text: str, **extra: Any) -> list[dict[str, Any]]:
        self.messages.append({"id": f"u{self.turns}", "role": "user", "content": text})
        return await self.run(**extra)

    async def ask(self, text: str) -> list[dict[str, Any]]:
        """Say something that a call comes of which is not answered yet."""
        events = await self.say(text)
        self.messages += tool_calls(events)
        return events

    async def run(self, **extra: Any) -> list[dict[str, Any]]:
        self.turns += 1
        body = {
            "threadId": "t1",
            "runId": f"r{self.turns}",
            "state": {},
            "messages": self.messages,
            "tools": TOOLS,
            "context": [],
            "forwardedProps": {},
            **extra,
        }
        return await self.post("/api/copilotkit/agent/default/run", body)

    async def post(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        # As browsers do; headers given to the client itself would not reach an async request.
        response = await self.client.post(
            path, body, content_type="application/json", headers={"origin": "http://testserver"}
        )
        text = b"".join([chunk async for chunk in response.streaming_content]).decode()
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def interrupts(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return events[-1].get("outcome", {}).get("interrupts", [])


def tool_calls(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The assistant messages an official client would make of the tool calls."""
    arguments: dict[str, str] = {}
    for event in events:
        if event["type"] == "TOOL_CALL_ARGS":
            call_id = event["toolCallId"]
            arguments[call_id] = arguments.get(call_id, "") + event["delta"]
    return [
        {
            "id": event["toolCallId"],
            "role": "assistant",
            "toolCalls": [
                {
                    "id": event["toolCallId"],
                    "type": "function",
                    "function": {
                        "name": event["toolCallName"],
                        "arguments": arguments[event["toolCallId"]],
                    },
                }
            ],
        }
        for event in events
        if event["type"] == "TOOL_CALL_START"
    ]


async def converse() -> dict[str, Any]:
    ada, bob = Visitor(), Visitor()
    said: dict[str, Any] = {"first page": await ada.page()}
    said["add"] = await ada.say("add buy milk and call Bob")
    said["done"] = await ada.say("done milk")

    said["ask"] = await ada.ask("delete done")
    answer = {"interruptId": interrupts(said["ask"])[0]["id"], "status": "resolved"}
    approval = {**answer, "payload": {"approved": True}}
    await bob.page()
    said["stolen"] = await bob.run(resume=[approval])
    said["forged"] = await bob.run(resume=[approval], messages=ada.messages)
    said["cancelled"] = await ada.run(resume=[{**answer, "status": "cancelled"}])
    said["page before"] = await ada.page()
    said["approved"] = await ada.run(resume=[approval])
    said["page after"] = await ada.page()
    said["page of another"] = await bob.page()

    said["paint"] = await ada.say("make the page blue")
    for message in tool_calls(said["paint"]):
        result = {"id": "tool", "role": "tool", "toolCallId": message["id"], "content": "{}"}
        ada.messages += [message, result]
    said["painted"] = await ada.run()

    choice = {"toolChoice": {"type": "function", "function": {"name": "copilotkitSuggest"}}}
    said["suggest"] = await ada.run(forwardedProps=choice)
    said["almanac"] = await ada.post(
        "/agents/almanac",
        {
            "threadId": "t",
            "runId": "r",
            "messages": [{"id": "u", "role": "user", "content": "is 2028 a leap year?"}],
        },
    )
    return said


def main() -> None:
    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    setup_test_environment()
    call_command("migrate", verbosity=0)
    json.dump(asyncio.run(converse()), sys.stdout)


if __name__ == "__main__":
    main()
