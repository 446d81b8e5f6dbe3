"""The wire formats of model providers: requests read, answers written."""

from __future__ import annotations

import re

from copilotkit_django.testing.providers.anthropic import AnthropicMessages
from copilotkit_django.testing.providers.base import Provider
from copilotkit_django.testing.providers.google import GeminiContent
from copilotkit_django.testing.providers.openai import OpenAICompletions
from copilotkit_django.testing.providers.openai_responses import OpenAIResponses

#: By the end of the path they are asked at.
ROUTES: tuple[tuple[re.Pattern[str], type[Provider]], ...] = (
    (re.compile(r"/chat/completions$"), OpenAICompletions),
    (re.compile(r"/responses$"), OpenAIResponses),
    (re.compile(r"/messages$"), AnthropicMessages),
    (
        re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>(?:streamG|g)enerateContent)$"),
        GeminiContent,
    ),
)

__all__ = ["ROUTES", "Provider"]
