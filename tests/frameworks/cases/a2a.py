"""An agent of the A2A protocol, on a server of its own."""

import asyncio

from copilotkit_django.contrib.a2a import A2AAgent
from tests.frameworks.case import Case


class A2A(Case):
    title = "A2A"
    package = "a2a-sdk"
    modules = ("a2a", "openai", "starlette", "uvicorn")
    adapter = "a2a.A2AAgent"
    cannot = {
        "server_tool": "The protocol does not say which tools an agent uses.",
        "page_tool": "The protocol has no tools of the caller.",
        "state": "The protocol has no state shared with the caller.",
    }
    notes = {
        "reasoning": "What an agent says while it works.",
        "interrupt": "A task that requires input or authentication.",
        "stop": "The task is cancelled. An agent that does not heed that goes on.",
        "memory": "The agent remembers, by the id of the A2A context; it is sent what is new.",
    }

    def __init__(self):
        self.servers = {}

    def agent(self, llm, scenario):
        from tests.frameworks.a2a_server import Assistant, Server

        server = Server(Assistant(llm.base_url()))
        hosted = A2AAgent(server.url)
        self.servers[hosted] = server
        return hosted

    async def close(self, agent):
        await asyncio.to_thread(self.servers.pop(agent).stop)


CASE = A2A()
