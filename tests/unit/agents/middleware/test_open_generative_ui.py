"""Pages a model writes: the activity grows with the arguments of the call, however they are cut."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilotkit_django import FunctionAgent
from copilotkit_django.agents.middleware.open_generative_ui import TOOL, OpenGenerativeUI
from copilotkit_django.agents.middleware.streamed_json import whole
from tests.talk import kinds, within

from .cuts import cuts, pieces, texts, units, values
from .stage import Saying, calls, run
from .watching import activities, passes

ARGUMENTS = {
    "initialHeight": 300,
    "placeholderMessages": ["Mixing colours…", 'Nearly "there" 😀'],
    "css": "body { color: red }",
    "html": "<h1>Hello 😀</h1>\n<script>x = '\\u0041'</script>",
    "jsFunctions": "function go() { return 1 }",
    "jsExpressions": ["go()", "go(2)"],
}

CONTENT = {
    "generating": False,
    "initialHeight": 300,
    "placeholderMessages": ARGUMENTS["placeholderMessages"],
    "css": ARGUMENTS["css"],
    "cssComplete": True,
    "html": ARGUMENTS["html"],
    "htmlComplete": True,
    "jsFunctions": ARGUMENTS["jsFunctions"],
    "jsFunctionsComplete": True,
    "jsExpressions": ARGUMENTS["jsExpressions"],
    "jsExpressionsComplete": True,
}


async def drawn(*parts, id="c1"):
    events = await run(Saying(*calls(TOOL, *parts, id=id)), [OpenGenerativeUI()])
    passes(events)
    return events


def page(events, id="c1"):
    """The content the page ends with; the pieces of its markup joined as the client does."""
    content = activities(events).get(f"{id}-activity")
    if content is not None and "html" in content:
        content["html"] = whole("".join(content["html"]))
    return content


def call_of(events):
    return [event for event in events if event["type"].startswith("TOOL_CALL")]


async def test_run__whole():
    """All parts of a page arrive, and it is said when each is complete."""
    assert page(await drawn(json.dumps(ARGUMENTS))) == CONTENT


async def test_run__order():
    """The activity stands above the call, whose events all come, in their order."""
    text = json.dumps(ARGUMENTS)
    parts = [text[at : at + 9] for at in range(0, len(text), 9)]

    events = await drawn(*parts)

    assert kinds(events)[:3] == ["RUN_STARTED", "ACTIVITY_SNAPSHOT", "TOOL_CALL_START"]
    assert call_of(events) == calls(TOOL, *parts)


async def test_run__as_it_is_written():
    """Markup is shown piece by piece, a patch for each piece of the arguments."""
    events = await drawn('{"html":"<p>', "One", " two", '</p>"', "}")

    patches = [event["patch"][0] for event in events if event["type"] == "ACTIVITY_DELTA"]
    assert patches == [
        {"op": "add", "path": "/html", "value": []},
        {"op": "add", "path": "/html/-", "value": "<p>"},
        {"op": "add", "path": "/html/-", "value": "One"},
        {"op": "add", "path": "/html/-", "value": " two"},
        {"op": "add", "path": "/html/-", "value": "</p>"},
        {"op": "add", "path": "/htmlComplete", "value": True},
        {"op": "add", "path": "/generating", "value": False},
    ]


@pytest.mark.parametrize("ascii", [True, False])
async def test_run__cut_at_every_place(ascii):
    """Whatever the cut, the page ends the same."""
    parts = units(json.dumps(ARGUMENTS, ensure_ascii=ascii))
    for place in range(len(parts) + 1):
        events = await drawn("".join(parts[:place]), "".join(parts[place:]))
        assert page(events) == CONTENT
    assert page(await drawn(*parts)) == CONTENT


async def test_run__ends_at_every_place():
    """Arguments that just end leave a page that is not being made any more."""
    parts = units(json.dumps(ARGUMENTS, ensure_ascii=False))
    for place in range(len(parts)):
        text = "".join(parts[:place])
        events = await drawn(text)
        content = page(events)
        assert content is None or content["generating"] is False
        assert call_of(events) == calls(TOOL, text)


arguments = st.fixed_dictionaries(
    {},
    optional={
        "initialHeight": st.integers(-5, 5000) | st.floats(allow_nan=False) | values,
        "placeholderMessages": st.lists(texts, max_size=3) | values,
        "css": texts | values,
        "html": texts | values,
        "jsFunctions": texts | values,
        "jsExpressions": st.lists(texts | values, max_size=3) | values,
        "somethingElse": values,
    },
).flatmap(lambda chosen: st.permutations(list(chosen.items())))


@given(arguments=arguments, at=cuts, ascii=st.booleans())
def test_run__any_arguments(arguments, at, ascii):
    """Whatever a model writes, in whatever order and pieces: valid events, and one outcome."""
    text = json.dumps(dict(arguments), ensure_ascii=ascii)

    events = asyncio.run(drawn(*pieces(text, at)))
    content = page(events)

    assert content == page(asyncio.run(drawn(text)))
    if content is not None:
        _acceptable(content)


@given(text=st.text(alphabet='{}[]",:\\u0a1html ', max_size=60), at=cuts)
def test_run__no_json(text, at):
    """Arguments that are no JSON harm nothing."""
    parts = pieces(text, at)

    events = asyncio.run(drawn(*parts))

    assert call_of(events) == calls(TOOL, *parts)
    content = page(events)
    if content is not None:
        _acceptable(content)


def _acceptable(content):
    """What the schema of the official renderer takes."""
    assert content["generating"] is False
    for key, kind in {
        "initialHeight": (int, float),
        "css": str,
        "html": str,
        "jsFunctions": str,
        "jsExpressions": list,
        "placeholderMessages": list,
    }.items():
        assert isinstance(content.get(key, kind() if kind in (str, list) else 0), kind)
        if kind is list:
            assert all(isinstance(item, str) for item in content.get(key, []))


async def test_run__several_calls():
    """Pages written at the same time do not mix; other calls pass."""
    one, two = calls(TOOL, '{"html":"one', '"}', id="a"), calls(TOOL, '{"html":"two', '"}', id="b")
    mixed = [event for pair in zip(one, two, strict=True) for event in pair]
    other = calls("other", '{"html":"three"}', id="c")

    events = await run(Saying(*mixed, *other), [OpenGenerativeUI()])

    passes(events)
    assert (page(events, "a")["html"], page(events, "b")["html"]) == ("one", "two")
    assert [e for e in events if e.get("toolCallId") == "c"] == other
    assert len(activities(events)) == 2


async def test_run__agent_fails():
    """A page whose agent fails is not being made any more, and the failure goes on."""
    events = []

    async def fails(context):
        yield context.started()
        for event in calls(TOOL, '{"html":"<p>')[:-1]:
            yield event
        raise LookupError

    with pytest.raises(LookupError):
        await _into(events, FunctionAgent(fails))

    assert page(events)["generating"] is False


@pytest.mark.parametrize("text", ['{"html":"<p>', "{"])
async def test_run__agent_tells_its_failure(text):
    """Neither is one whose agent says itself that it has failed; nothing comes after that."""
    events = []

    async def fails(context):
        yield context.started()
        for event in calls(TOOL, text)[:-1]:
            yield event
        yield {"type": "RUN_ERROR", "message": "The model is gone."}

    await _into(events, FunctionAgent(fails))

    passes(events)
    assert events[-1]["type"] == "RUN_ERROR"
    assert call_of(events) == calls(TOOL, text)[:-1]
    assert not (page(events) or {}).get("generating")


async def test_run__stopped():
    """Neither is one whose run was stopped."""
    events = []

    async def waits(context):
        yield context.started()
        for event in calls(TOOL, '{"html":"<p>')[:-1]:
            yield event
        await asyncio.Event().wait()

    task = asyncio.create_task(_into(events, FunctionAgent(waits)))
    async with asyncio.timeout(5):
        while len(events) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0)
    task.cancel()
    await within(asyncio.wait({task}))

    assert task.cancelled()
    assert page(events)["generating"] is False


async def _into(events, agent):
    from copilotkit_django.agents.middleware.stack import MiddlewareStack

    from .stage import context_of

    wrapped = MiddlewareStack([OpenGenerativeUI()]).wrap("default", agent, context_of().input)
    async for event in wrapped.run(context_of()):
        events.append(event)


async def test_run__cost():
    """What is sent grows with the page, not with its square."""
    sizes = {}
    for length in (10_000, 100_000):
        text = json.dumps({"html": "<p>x</p>" * (length // 8)})
        began = time.perf_counter()
        events = await run(Saying(*calls(TOOL, *units(text))), [OpenGenerativeUI()])
        print(f"{len(text)} single characters: {time.perf_counter() - began:.3f} s")
        sizes[length] = sum(len(json.dumps(event)) for event in events)

    assert sizes[100_000] < 11 * sizes[10_000]
