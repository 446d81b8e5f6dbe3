"""For the tests of projects: hooks without an endpoint, models without a provider, sockets."""

from copilotkit_django.testing.answers import (
    Answer,
    Drop,
    Fail,
    Part,
    Reasoning,
    Refuse,
    Text,
    ToolCall,
    Usage,
    Wait,
    by_last_message,
)
from copilotkit_django.testing.llm import FakeLLM
from copilotkit_django.testing.prompts import Prompt, PromptMessage
from copilotkit_django.testing.requests import answered, entered
from copilotkit_django.testing.websocket import WebsocketClient
from copilotkit_django.testing.websocket_commands import WebsocketError

__all__ = [
    "Answer",
    "Drop",
    "Fail",
    "FakeLLM",
    "Part",
    "Prompt",
    "PromptMessage",
    "Reasoning",
    "Refuse",
    "Text",
    "ToolCall",
    "Usage",
    "Wait",
    "WebsocketClient",
    "WebsocketError",
    "answered",
    "by_last_message",
    "entered",
]
