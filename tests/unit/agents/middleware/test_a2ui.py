"""Surfaces agents draw: shown while they are written, checked, and answered."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise

import pytest
from ag_ui_a2ui_toolkit import A2UI_SCHEMA_CONTEXT_DESCRIPTION, BASIC_CATALOG_ID
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from copilotkit_django import FunctionAgent
from copilotkit_django.agents.middleware.a2ui import A2UI
from copilotkit_django.agents.middleware.a2ui.drawing import MOST_COMPONENTS
from copilotkit_django.agents.middleware.stack import MiddlewareStack
from tests.talk import kinds, within

from .cuts import cuts, pieces, texts, units, values
from .stage import Saying, calls, context_of, result, run
from .watching import activities, passes

TOOL = "render_a2ui"

COMPONENTS = [
    {"id": "root", "component": "Column", "children": ["title", "list"]},
    {"id": "title", "component": "Text", "text": 'A "title" 😀'},
    {"id": "list", "component": "Column", "children": {"componentId": "item", "path": "/flights"}},
    {"id": "item", "component": "Text", "text": {"path": "name"}},
]
DATA = {"flights": [{"name": "One"}, {"name": "Two"}, {"name": "Three"}], "total": 3}
ARGUMENTS = {"surfaceId": "s1", "components": COMPONENTS, "data": DATA}

INVALID = [{"id": "root", "component": "Column", "children": ["nowhere"]}]


def surface(components=COMPONENTS, data=DATA, id="s1", catalog=BASIC_CATALOG_ID):
    operations = [
        {"version": "v0.9", "createSurface": {"surfaceId": id, "catalogId": catalog}},
        {"version": "v0.9", "updateComponents": {"surfaceId": id, "components": components}},
    ]
    if data is not None:
        about = {"surfaceId": id, "path": "/", "value": data}
        operations.append({"version": "v0.9", "updateDataModel": about})
    return {"a2ui_operations": operations}


async def drawn(*events, options=None, **fields):
    seen = await run(Saying(*events), [A2UI(**(options or {}))], **fields)
    passes(seen)
    return seen


def shown(events):
    return [event["content"] for event in events if event["type"] == "ACTIVITY_SNAPSHOT"]


def answer_of(events):
    (answer,) = [event for event in events if event["type"] == "TOOL_CALL_RESULT"]
    return json.loads(answer["content"])


async def given_to(options, **fields):
    """The input an agent is given."""
    agent = Saying()
    await run(agent, [A2UI(**options)], **fields)
    return agent.contexts[0].input


async def test_run__whole():
    """A call with all its arguments is a surface, and is answered."""
    events = await drawn(*calls(TOOL, json.dumps(ARGUMENTS)))

    assert shown(events) == [{"status": "building"}, surface()]
    assert {e["messageId"] for e in events if e["type"] == "ACTIVITY_SNAPSHOT"} == {
        "a2ui-surface-c1"
    }
    assert kinds(events)[-2:] == ["TOOL_CALL_RESULT", "RUN_FINISHED"]
    assert json.loads(events[-2]["content"]) == {"status": "rendered"}


async def test_run__as_it_is_written():
    """Components appear when all are there; then each item of the data that is repeated."""
    text = json.dumps(ARGUMENTS)
    first, rest = text.split('"data": ')
    items = [json.dumps(item) for item in DATA["flights"]]
    assert rest == '{"flights": [' + ", ".join(items) + '], "total": 3}}'

    events = await drawn(
        *calls(TOOL, first, '"data": {"flights": [', items[0], f", {items[1]}", ", "),
        options={"progress_tokens": False},
    )

    flights = DATA["flights"]
    assert shown(events)[:4] == [
        {"status": "building"},
        surface(data=None),
        surface(data={"flights": flights[:1]}),
        surface(data={"flights": flights[:2]}),
    ]


async def test_run__keys_in_any_order():
    """Arguments may come in any order."""
    turned = {"data": DATA, "components": COMPONENTS, "surfaceId": "s1"}

    events = await drawn(*calls(TOOL, *units(json.dumps(turned))))

    assert shown(events)[-1] == surface()


@pytest.mark.parametrize("ascii", [True, False])
async def test_run__cut_at_every_place(ascii):
    """Whatever the cut, the surface is the same."""
    parts = units(json.dumps(ARGUMENTS, ensure_ascii=ascii))
    for place in range(0, len(parts) + 1):
        events = await drawn(*calls(TOOL, "".join(parts[:place]), "".join(parts[place:])))
        assert activities(events) == {"a2ui-surface-c1": surface()}
    assert shown(await drawn(*calls(TOOL, *parts)))[-1] == surface()


async def test_run__ends_at_every_place():
    """Arguments that just end leave a surface, or the word that there is none."""
    parts = units(json.dumps(ARGUMENTS, ensure_ascii=False))
    for place in range(len(parts)):
        events = await drawn(*calls(TOOL, "".join(parts[:place])))
        (content,) = activities(events).values()
        answer = answer_of(events)
        if "a2ui_operations" in content:
            assert answer == {"status": "rendered"}
        else:
            assert content["status"] == answer["status"] == "failed"


arguments = st.fixed_dictionaries(
    {},
    optional={
        "surfaceId": texts | values,
        "components": st.just(COMPONENTS) | st.just(INVALID) | values,
        "data": st.just(DATA) | st.dictionaries(texts, st.lists(values, max_size=3)) | values,
        "catalogId": texts | values,
        "other": values,
    },
).flatmap(lambda chosen: st.permutations(list(chosen.items())))


@given(arguments=arguments, at=cuts, ascii=st.booleans())
def test_run__any_arguments(arguments, at, ascii):
    """Whatever a model writes: valid events, one activity, one outcome, one answer."""
    text = json.dumps(dict(arguments), ensure_ascii=ascii)

    events = asyncio.run(drawn(*calls(TOOL, *pieces(text, at))))

    again = asyncio.run(drawn(*calls(TOOL, text)))
    assert activities(events) == activities(again)
    assert list(activities(events)) == ["a2ui-surface-c1"]
    assert kinds(events).count("TOOL_CALL_RESULT") == 1


@given(text=st.text(alphabet='{}[]",:\\u0surfaceId ', max_size=60), at=cuts)
def test_run__no_json(text, at):
    """Arguments that are no JSON end as no surface."""
    events = asyncio.run(drawn(*calls(TOOL, *pieces(text, at))))

    (content,) = activities(events).values()
    assert content["status"] == "failed"


async def test_run__progress():
    """Pages are told now and then how long the surface is so far."""
    long = [*COMPONENTS, *({"id": f"x{n}", "component": "Text"} for n in range(40))]
    text = json.dumps({"surfaceId": "s1", "components": long})

    told = [c.get("progressTokens") for c in shown(await drawn(*calls(TOOL, *units(text))))]
    silent = shown(await drawn(*calls(TOOL, *units(text)), options={"progress_tokens": False}))

    tokens = [each for each in told if each is not None]
    assert tokens == sorted(tokens)
    assert all(b - a >= 20 for a, b in pairwise(tokens))
    assert len(silent) == 2


async def test_run__invalid_surface():
    """What cannot be shown is never shown; the model is told what is wrong with it."""
    events = await drawn(*calls(TOOL, json.dumps({**ARGUMENTS, "components": INVALID})))

    states = [content["status"] for content in shown(events)]
    assert states == ["building", "retrying", "failed"]
    answer = answer_of(events)
    assert answer["status"] == "failed"
    assert answer["errors"][0]["code"] == "unresolved_child"


async def test_run__second_attempt():
    """Attempts inside of one call share one place, and the good one takes it."""
    bad, good = ({**ARGUMENTS, "components": each} for each in (INVALID, COMPONENTS))
    start = {"type": "TOOL_CALL_START", "toolCallId": "o", "toolCallName": "generate_a2ui"}

    events = await drawn(
        start,
        *calls(TOOL, json.dumps(bad), id="c1"),
        *calls(TOOL, json.dumps(good), id="c2"),
        {"type": "TOOL_CALL_END", "toolCallId": "o"},
        result(json.dumps(surface()), "o"),
    )

    assert list(activities(events)) == ["a2ui-surface-o"]
    contents = shown(events)
    assert [content.get("status") for content in contents] == ["building", "retrying", None]
    assert (contents[1]["attempt"], contents[1]["maxAttempts"]) == (2, 3)
    assert contents[-1] == surface()


async def test_run__several_surfaces_after_another_call():
    """A surface takes the place of attempts at it, never that of another one."""
    first, second = (json.dumps({**ARGUMENTS, "surfaceId": id}) for id in ("s1", "s2"))

    events = await drawn(
        *calls("setTheme", "{}", id="page"),
        *calls(TOOL, first, id="c1"),
        *calls(TOOL, second, id="c2"),
    )

    assert list(activities(events).values()) == [surface(id="s1"), surface(id="s2")]


async def test_run__attempts_exhausted():
    """A tool that gives up is shown as having given up."""
    bad = json.dumps({**ARGUMENTS, "components": INVALID})
    failure = {"code": "a2ui_recovery_exhausted", "error": "Gave up.", "attempts": [1, 2]}

    events = await drawn(
        {"type": "TOOL_CALL_START", "toolCallId": "o", "toolCallName": "generate_a2ui"},
        *calls(TOOL, bad, id="c1"),
        {"type": "TOOL_CALL_END", "toolCallId": "o"},
        result(json.dumps(failure), "o"),
        options={"debug_exposure": "verbose"},
    )

    assert shown(events)[-1] == {
        "status": "failed",
        "error": "Gave up.",
        "attempts": [1, 2],
        "maxAttempts": 2,
        "debugExposure": "verbose",
    }


@pytest.mark.parametrize("encode", [json.dumps, lambda value: json.dumps(json.dumps(value))])
async def test_result__of_another_tool(encode):
    """Surfaces in results are shown after them, also when a text is written as a text."""
    events = await drawn(*calls("weather"), result(encode(surface())))

    assert kinds(events)[-3:] == ["TOOL_CALL_RESULT", "ACTIVITY_SNAPSHOT", "RUN_FINISHED"]
    assert activities(events) == {"a2ui-surface-c1": surface()}


async def test_result__several_surfaces():
    """Each surface of a result has an activity of its own."""
    operations = surface(id="a")["a2ui_operations"] + surface(id="b")["a2ui_operations"]

    events = await drawn(
        *calls("weather"), result(json.dumps({"a2ui_operations": [*operations, 7, None]}))
    )

    assert activities(events) == {
        "a2ui-surface-a-c1": surface(id="a"),
        "a2ui-surface-b-c1": surface(id="b"),
    }


async def test_result__of_calls_side_by_side():
    """Each result shows its own surface, also where several tools were called at once."""
    events = await drawn(
        *calls("weather", id="c1"),
        *calls("weather", id="c2"),
        result(json.dumps(surface(id="a")), "c1"),
        result(json.dumps(surface(id="b")), "c2"),
    )

    assert activities(events) == {
        "a2ui-surface-c1": surface(id="a"),
        "a2ui-surface-c2": surface(id="b"),
    }


async def test_result__beside_a_surface_that_was_written():
    """A tool's surface is shown, and beside one that was drawn before the tool was done."""
    events = await drawn(
        *calls("weather", id="c1"),
        *calls(TOOL, json.dumps(ARGUMENTS), id="c2"),
        result(json.dumps(surface(id="w")), "c1"),
    )

    assert list(activities(events).values()) == [surface(), surface(id="w")]


async def test_result__shown_already():
    """A surface that was shown while it was written is not shown again by another result."""
    events = await drawn(
        *calls(TOOL, json.dumps(ARGUMENTS), id="c1"),
        *calls("other", id="c2"),
        result(json.dumps(surface()), "c2"),
    )

    assert shown(events) == [{"status": "building"}, surface()]


@pytest.mark.parametrize(
    "content",
    ["", "a2ui_operations", '{"a2ui_operations": 7}', '["a2ui_operations"]', '{"code": "x"}'],
)
async def test_result__no_surface(content):
    """Results that only sound like it are results."""
    events = await drawn(*calls("weather"), result(content))

    assert shown(events) == []


@pytest.mark.parametrize(
    ("options", "page", "streamed", "expected"),
    [
        ({"default_catalog_id": "mine"}, "page", "streamed", "mine"),
        ({}, "page", "streamed", "page"),
        ({}, None, "streamed", "streamed"),
        ({}, None, "basic", BASIC_CATALOG_ID),
        ({}, None, None, BASIC_CATALOG_ID),
        ({}, 7, None, BASIC_CATALOG_ID),
    ],
)
async def test_catalog__order(options, page, streamed, expected):
    """The catalogue is what was set, else what the page has, else what was written."""
    context = []
    if page is not None:
        value = json.dumps({"catalogId": page, "components": {}})
        context = [{"description": A2UI_SCHEMA_CONTEXT_DESCRIPTION, "value": value}]
    written = ARGUMENTS if streamed is None else {"catalogId": streamed, **ARGUMENTS}

    events = await drawn(*calls(TOOL, json.dumps(written)), options=options, context=context)

    assert shown(events)[-1] == surface(catalog=expected)


async def test_schema__checked_and_told():
    """A catalogue of the server's takes the place of the page's, and surfaces keep to it."""
    schema = {"catalogId": "mine", "components": {"Text": {"required": ["text"]}, "Column": {}}}
    page = [{"description": A2UI_SCHEMA_CONTEXT_DESCRIPTION, "value": "{}"}]
    odd = [{"id": "root", "component": "Oddity"}]

    told = await given_to({"schema": schema}, context=page)
    good = await drawn(*calls(TOOL, json.dumps(ARGUMENTS)), options={"schema": schema})
    bad = await drawn(
        *calls(TOOL, json.dumps({**ARGUMENTS, "components": odd})), options={"schema": schema}
    )

    (entry,) = told.context
    assert json.loads(entry["value"]) == schema
    assert "a2ui_operations" in shown(good)[-1]
    assert shown(bad)[1]["errors"][0]["code"] == "unknown_component"


async def test_tool__offered():
    """The tool and how to use it are told to agents, in place of what is there by that name."""
    mine = {"name": TOOL, "description": "Mine.", "parameters": {}}

    told = await given_to({"inject_tool": True}, tools=[mine])

    (tool,) = told.tools
    assert tool["name"] == TOOL
    assert tool["parameters"]["required"] == ["surfaceId", "components"]
    assert TOOL in told.context[-1]["value"]
    assert told.forwarded_props == {"injectA2UITool": True}


async def test_tool__other_name():
    """It may have another name, under which it draws."""
    options = {"inject_tool": "draw"}

    told = await given_to(options, forwardedProps={"x": 1})
    events = await drawn(*calls("draw", json.dumps(ARGUMENTS)), options=options)

    assert [tool["name"] for tool in told.tools] == ["draw"]
    assert told.forwarded_props == {"x": 1, "injectA2UITool": "draw"}
    assert shown(events)[-1] == surface()


@pytest.mark.parametrize(
    ("options", "props", "offered"),
    [
        ({}, {}, False),
        ({}, {"a2uiCatalogAvailable": True}, True),
        ({}, {"a2uiCatalogAvailable": "yes"}, False),
        ({"inject_tool": False}, {"a2uiCatalogAvailable": True}, False),
        ({"inject_tool": True}, {}, True),
    ],
)
async def test_tool__offered_to_pages_with_a_catalogue(options, props, offered):
    """Left alone, the tool is offered where the page has a catalogue."""
    told = await given_to(options, forwardedProps=props)

    assert [tool["name"] for tool in told.tools] == ([TOOL] if offered else [])


async def test_action__told():
    """What somebody did on a surface reaches the agent as a call and its result."""
    action = {
        "name": "book",
        "surfaceId": "s1",
        "sourceComponentId": "button",
        "context": {"flight": "One"},
    }

    told = await given_to({}, forwardedProps={"a2uiAction": {"userAction": action}})

    call, answer = told.messages[-2:]
    function = call["toolCalls"][0]["function"]
    assert function["name"] == "log_a2ui_event"
    assert json.loads(function["arguments"]) == action
    assert answer["toolCallId"] == call["toolCalls"][0]["id"]
    assert answer["content"] == (
        'User performed action "book" on surface "s1" (component: button). '
        'Context: {"flight":"One"}'
    )


@pytest.mark.parametrize(
    "props", [{}, {"a2uiAction": None}, {"a2uiAction": {}}, {"a2uiAction": {"userAction": "x"}}, []]
)
async def test_action__none(props):
    """Without an action nothing is added."""
    told = await given_to({}, forwardedProps=props)

    assert len(told.messages) == 1


async def test_run__agent_fails():
    """A surface whose agent fails is not being made any more."""

    async def fails(context):
        yield context.started()
        for event in calls(TOOL, '{"surfaceId": "s1"')[:-1]:
            yield event
        raise LookupError

    events = []
    with pytest.raises(LookupError):
        await _into(events, FunctionAgent(fails))

    assert shown(events)[-1]["status"] == "failed"


async def test_run__agent_tells_its_failure():
    """Neither is one whose agent says itself that it has failed; nothing comes after that."""
    error = {"type": "RUN_ERROR", "message": "The model is gone."}

    events = await _until_the_end_of(*calls(TOOL, '{"surfaceId": "s1"')[:-1], error)

    passes(events)
    assert events[-1] == error
    assert shown(events)[-1]["status"] == "failed"


async def _until_the_end_of(*said):
    async def fails(context):
        yield context.started()
        for event in said:
            yield event

    events = []
    await _into(events, FunctionAgent(fails))
    return events


async def test_run__stopped():
    """Neither is one whose run was stopped; one that is painted stays."""
    waiting = asyncio.Event()

    async def waits(context):
        yield context.started()
        for event in calls(TOOL, json.dumps(ARGUMENTS), id="c1"):
            yield event
        for event in calls(TOOL, '{"surfaceId": "s2"', id="c2")[:-1]:
            yield event
        waiting.set()
        await asyncio.Event().wait()

    events = []
    task = asyncio.create_task(_into(events, FunctionAgent(waits)))
    await within(waiting.wait())
    task.cancel()
    await within(asyncio.wait({task}))

    ended = activities(events)
    assert ended["a2ui-surface-c1"] == surface()
    assert ended["a2ui-surface-c2"]["status"] == "failed"


async def _into(events, agent):
    wrapped = MiddlewareStack([A2UI()]).wrap("default", agent, context_of().input)
    async for event in wrapped.run(context_of()):
        events.append(event)


async def test_run__too_large():
    """A surface of too many components is not shown, and not looked into."""
    many = [{"id": f"x{n}", "component": "Text"} for n in range(MOST_COMPONENTS + 1)]

    events = await drawn(*calls(TOOL, json.dumps({**ARGUMENTS, "components": many})))

    assert shown(events)[-1]["attempts"][0]["errors"][0]["code"] == "too_large"


async def test_run__cost():
    """A long list is not sent again for each of its items."""
    sizes = {}
    for count in (200, 2000):
        data = {"flights": [{"name": f"Flight {n:05}"} for n in range(count)]}
        text = json.dumps({**ARGUMENTS, "data": data})
        began = time.perf_counter()
        events = await drawn(*calls(TOOL, *(text[at : at + 20] for at in range(0, len(text), 20))))
        print(f"{count} items: {time.perf_counter() - began:.3f} s")
        assert shown(events)[-1] == surface(data=data)
        sizes[count] = sum(len(json.dumps(content)) for content in shown(events))

    assert sizes[2000] < 20 * sizes[200]


@pytest.mark.parametrize(
    ("setting", "props", "on"),
    [
        (None, {}, False),
        (None, {"a2uiCatalogAvailable": True}, True),
        (False, {"a2uiCatalogAvailable": True}, False),
        ({"enabled": False}, {"a2uiCatalogAvailable": True}, False),
        (True, {}, True),
        (["default"], {}, True),
        (["other"], {"a2uiCatalogAvailable": True}, False),
        ({"agents": ["default"]}, {}, True),
    ],
)
def test_stack__when_on(setting, props, on):
    """It is on where it is set, and where a page has a catalogue; off wins."""
    context = context_of(forwardedProps=props)
    agent = Saying()

    wrapped = MiddlewareStack(a2ui=setting).wrap("default", agent, context.input)

    assert (wrapped is not agent) is on


def test_stack__own_middleware():
    """An agent with an A2UI of its own does not get another."""
    agent = Saying().use(A2UI(inject_tool=True))

    wrapped = MiddlewareStack(a2ui=True).wrap("default", agent, context_of().input)

    assert len(wrapped.layers) == 1


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (7, "neither true or false nor a list"),
        ("default", "neither true or false nor a list"),
        ([7], "agents must be a list of names"),
        ({"inject": True}, "Did you mean 'inject_tool'"),
        ({"inject_tool": 7}, "inject_tool must be"),
        ({"enabled": 1}, "enabled must be true or false"),
        ({"schema": "x"}, "schema must be a mapping with components"),
        ({"schema": {"components": {"Text": 7}}}, "schema must be a mapping with components"),
        ({"tool_names": "draw"}, "tool_names must be a list"),
        ({"default_catalog_id": None}, "default_catalog_id must be a text"),
        ({"max_attempts": 0}, "max_attempts must be"),
        ({"debug_exposure": "all"}, "debug_exposure must be one of"),
    ],
)
def test_stack__wrong(setting, text):
    """A setting that cannot be used is refused with what is wrong with it."""
    with pytest.raises(ImproperlyConfigured, match=text):
        MiddlewareStack(a2ui=setting)
