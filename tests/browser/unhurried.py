"""The demo's settings, but whoever speaks can be held in the middle; see `Demo.held`."""

from __future__ import annotations

import asyncio
import functools
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from demo_project.settings import *  # noqa: F403
from demo_project.settings import COPILOTKIT

COPILOTKIT = COPILOTKIT | {"AGENTS": "tests.browser.unhurried.agents_for"}

#: Holds the number of the word to wait after, as long as it is there.
HOLD = Path(os.environ["TEST_HOLD"])


def agents_for(request: Any) -> Any:
    from demo_project.agents import registry

    make_patient()
    return registry.agents_for(request)


@functools.cache
def make_patient() -> None:
    """Have the agents of the demo look for the file with each of their words."""
    from demo_project.agents import speech

    usual = speech.words

    async def words(text: str, **options: Any) -> AsyncIterator[str]:
        number = 0
        async for word in usual(text, **options):
            yield word
            number += 1
            while number >= held_after():  # noqa: ASYNC110 - nothing tells of a file
                await asyncio.sleep(0.02)

    speech.words = words


def held_after() -> float:
    try:
        return int(HOLD.read_text())
    except FileNotFoundError:
        return math.inf
