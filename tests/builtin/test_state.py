"""The shared state: what the model is told of it, and how it changes it."""

from __future__ import annotations

import json

from copilotkit_django import ToolContext, tool
from copilotkit_django.events.state import fold
from copilotkit_django.testing import ToolCall
from tests.talk import kinds, run_input, text_of

from .conftest import MODELS
from .conversation import results

DELTA = "AGUISendStateDelta"
SNAPSHOT = "AGUISendStateSnapshot"


def changing(name: str, arguments: object, then: str = "Done."):
    """A model that calls one of the state tools, then says something."""
    return lambda prompt: then if prompt.tool_results else ToolCall(name, arguments)


async def test_snapshot__from_the_model(serve, llm, alice, provider) -> None:
    """A snapshot of the model's becomes a state event in front of the result."""
    llm.script = changing(SNAPSHOT, {"snapshot": {"items": [1, None]}})
    serve(MODELS[provider])

    events = (await alice.run(run_input("Go"))).events

    at = kinds(events).index("STATE_SNAPSHOT")
    assert kinds(events)[at - 1 : at + 2] == ["TOOL_CALL_END", "STATE_SNAPSHOT", "TOOL_CALL_RESULT"]
    assert events[at]["snapshot"] == {"items": [1, None]}
    (result,) = results(events).values()
    assert json.loads(result) == {"success": True, "snapshot": {"items": [1, None]}}
    assert text_of(events) == "Done."


async def test_delta__on_a_state_of_the_page(serve, llm, alice) -> None:
    """The first delta of a run comes behind the state it is of: a replay has no other."""
    llm.script = changing(DELTA, {"delta": [{"op": "replace", "path": "/n", "value": 2}]})
    serve()

    events = (await alice.run(run_input("Go", state={"n": 1}))).events

    states = [event for event in events if event["type"].startswith("STATE_")]
    assert kinds(states) == ["STATE_SNAPSHOT", "STATE_DELTA"]
    assert states[0]["snapshot"] == {"n": 1}
    assert fold(None, states) == {"n": 2}


async def test_delta__appends_to_a_list_there_is_not(serve, llm, alice) -> None:
    """Models append before they make the list; it is made for them."""
    llm.script = changing(DELTA, {"delta": [{"op": "add", "path": "/items/-", "value": "x"}]})
    serve()

    events = (await alice.run(run_input("Go", state={"n": 1}))).events

    states = [event for event in events if event["type"].startswith("STATE_")]
    assert states[-1]["delta"] == [
        {"op": "add", "path": "/items", "value": []},
        {"op": "add", "path": "/items/-", "value": "x"},
    ]
    assert fold(None, states) == {"n": 1, "items": ["x"]}


async def test_delta__that_does_not_fit(serve, llm, alice) -> None:
    """A patch that cannot be applied is the model's to mend; the page never sees it."""
    llm.script = changing(DELTA, {"delta": [{"op": "remove", "path": "/gone"}]}, then="Sorry.")
    serve()

    events = (await alice.run(run_input("Go", state={"n": 1}))).events

    assert not any(event["type"].startswith("STATE_") for event in events)
    (result,) = results(events).values()
    assert "does not fit" in json.loads(result)["error"]
    assert text_of(events) == "Sorry."
    assert "does not fit" in llm.prompts[1].tool_results[0].text


async def test_delta__without_operations(serve, llm, alice) -> None:
    """What is no patch at all is told to the model in words."""
    llm.script = changing(DELTA, {"delta": "everything"})
    serve()

    events = (await alice.run(run_input("Go"))).events

    assert "list of JSON Patch operations" in next(iter(results(events).values()))
    assert events[-1]["type"] == "RUN_FINISHED"


async def test_state__of_a_tool_of_the_server(serve, llm, alice) -> None:
    """A tool of the project and the model's own tools change one and the same state."""

    @tool
    def count(context: ToolContext) -> str:
        """Count one further."""
        context.patch_state([{"op": "replace", "path": "/n", "value": context.state["n"] + 1}])
        context.custom("counted", context.state["n"])
        return "Counted."

    def script(prompt):
        if not prompt.tool_results:
            add = {"delta": [{"op": "replace", "path": "/n", "value": 5}]}
            return ToolCall(DELTA, add)
        return "Six." if len(prompt.messages) > 3 else ToolCall("count")

    llm.script = script
    serve(tools=[count])

    events = (await alice.run(run_input("Go", state={"n": 1}))).events

    states = [event for event in events if event["type"].startswith("STATE_")]
    assert fold(None, states) == {"n": 6}
    assert kinds(states) == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_DELTA"]
    assert next(e["value"] for e in events if e["type"] == "CUSTOM") == 6
    assert text_of(events) == "Six."
