"""The agent with a mind of its own: a language model, where the environment has a key for one."""

from __future__ import annotations

import functools
import logging
import os

from copilotkit_django import BuiltInAgent
from demo_project.agents.todo_tools import TODO_TOOLS

logger = logging.getLogger(__name__)

#: The model each key is good for, the first that is there counts. DEMO_MODEL names another one.
MODELS = {
    "OPENAI_API_KEY": "openai/gpt-5-mini",
    "ANTHROPIC_API_KEY": "anthropic/claude-haiku-4-5",
    "GOOGLE_API_KEY": "google/gemini-2.5-flash",
}

PROMPT = """\
You keep the to-do list of a visitor of this page, and you may change the look of the page.

Everything you know of the list comes from your tools: search before you speak of it. Tools want \
ids; people use titles, or positions in the list (1 is the oldest entry). If it is not clear which \
entry is meant, ask. Deleting needs no question of yours: the page asks by itself. After you have \
done something, say so in one short sentence. Write Markdown, and never mention ids.
"""


def model_name() -> str | None:
    """The model there is a key for, as ``provider/name``; ``None``: there is no key."""
    keys = [key for key in MODELS if os.environ.get(key)]
    return os.environ.get("DEMO_MODEL") or MODELS[keys[0]] if keys else None


def model_agent() -> BuiltInAgent | None:
    """The agent on that model, or ``None`` if there is no key or the package is missing."""
    name = model_name()
    return made(name) if name else None


@functools.cache
def made(name: str) -> BuiltInAgent | None:
    try:
        return BuiltInAgent(
            name,
            name="Model",
            description=f"Keeps the to-do list with {name}.",
            prompt=PROMPT,
            tools=TODO_TOOLS,
        )
    except (ImportError, ValueError) as error:
        logger.warning("The demo does without a model: %s", error)
        return None
