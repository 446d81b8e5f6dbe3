"""Many runs of one agent at a time."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

from copilotkit_django import ToolContext, tool
from copilotkit_django.testing import ToolCall
from tests.integration.site import Caller
from tests.talk import events_in, run_input, text_of, within

from .conversation import results

RUNS = 50


def test_runs__the_first_of_a_process() -> None:
    """Runs that are the first of their process, all at once, import the engine once."""
    code = """
import asyncio, os
os.environ |= {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "GOOGLE_API_KEY": "k"}
import django
django.setup()
from copilotkit_django.agents.builtin.models import ModelName, close_models, get_model

async def main():
    names = [f"{each}/m" for each in ("openai", "openai-chat", "anthropic", "google")] * 8
    models = await asyncio.gather(*(get_model(ModelName.parse(name)) for name in names))
    print(len(models), len({id(model) for model in models}))
    await close_models()

asyncio.run(main())
"""

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )

    assert done.stdout.split() == ["32", "4"], done.stderr


async def test_runs__share_nothing(serve, llm) -> None:
    """Fifty runs of fifty people at once: each sees its own words, state and tool results."""
    together = asyncio.Barrier(RUNS)

    @tool
    async def mine(context: ToolContext, word: str) -> dict[str, str]:
        """Say whose it is."""
        await together.wait()
        context.patch_state([{"op": "add", "path": "/word", "value": word}])
        return {"scope": context.scope, "word": context.state["word"]}

    def script(prompt):
        if prompt.tool_results:
            return f"You are {json.loads(prompt.tool_results[0].text)['scope']}."
        return ToolCall("mine", {"word": prompt.last_user_text})

    llm.script = script
    serve(tools=[mine], prompt=lambda context: f"You talk to {context.scope}.")

    async def run(number: int) -> None:
        caller = Caller(headers={"x-user": f"u{number}"})
        wire = run_input(f"word-{number}", state={"n": number})
        # Not by `caller.run`, whose patience is for one run at a time.
        response = await caller.client.post(
            f"{caller.base}/agent/default/run",
            json.dumps(wire),
            content_type="application/json",
            headers=caller.headers,
        )
        events = events_in(b"".join([chunk async for chunk in response]))

        assert text_of(events) == f"You are user:u{number}."
        (result,) = results(events).values()
        assert json.loads(result) == {"scope": f"user:u{number}", "word": f"word-{number}"}
        snapshot = next(e["snapshot"] for e in events if e["type"] == "STATE_SNAPSHOT")
        assert snapshot == {"n": number}
        assert [entry["inputTokens"] for entry in events[-1]["usage"]] == [22]

    await within(asyncio.gather(*(run(number) for number in range(RUNS))), 60)

    assert len(llm.prompts) == 2 * RUNS
    for prompt in llm.prompts:
        number = prompt.last_user_text.removeprefix("word-")
        assert prompt.system.startswith(f"You talk to user:u{number}.")
