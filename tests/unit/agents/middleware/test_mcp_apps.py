"""MCP Apps around an agent, on a real MCP server: tools, calls, what apps ask for."""

from __future__ import annotations

import json
import logging

import pytest
from django.core.exceptions import ImproperlyConfigured

from copilotkit_django.agents.middleware.mcp_apps import MCPApps
from copilotkit_django.agents.middleware.mcp_apps import tools as listing
from copilotkit_django.agents.middleware.stack import MiddlewareStack
from tests.mcp_server import PAGE, RESOURCE, clock_server
from tests.talk import kinds

from .stage import Saying, calls, context_of, result, run


@pytest.fixture(params=["http", "sse"])
def clock(request):
    with clock_server(request.param) as server:
        server.type = request.param
        yield server


@pytest.fixture
def http_clock():
    with clock_server() as server:
        server.type = "http"
        yield server


def apps(clock, **options):
    return MCPApps(
        [{"url": clock.url, "type": clock.type, "allow_private_addresses": True, **options}]
    )


def only(events, kind):
    return [event for event in events if event["type"] == kind]


def asking(middleware, method, **request):
    """The fields of a run in which an app asks something of the first server."""
    server = middleware.servers[0]
    asked = {"serverHash": server.hash, "method": method, **request}
    return {"forwardedProps": {"__proxiedMCPRequest": asked}}


async def answered(middleware, method, **request):
    agent = Saying()
    events = await run(agent, [middleware], **asking(middleware, method, **request))
    assert agent.contexts == []
    assert kinds(events) == ["RUN_STARTED", "RUN_FINISHED"]
    return events[-1]["result"]


async def test_run__tools(clock):
    """The agent is offered the tools with an interface that are for models."""
    agent = Saying()

    await run(agent, [apps(clock)])

    tools = {tool["name"]: tool for tool in agent.contexts[0].input.tools}
    assert sorted(tools) == ["show_clock", "stop"]
    assert tools["show_clock"]["description"] == f"Shows a clock.\n[UI Resource: {RESOURCE}]"
    assert tools["show_clock"]["parameters"]["properties"]["zone"]["type"] == "string"


async def test_run__call(clock):
    """A call nobody answered is made; its result and the interface come before the end."""
    middleware = apps(clock, server_id="clock")
    agent = Saying(*calls("show_clock", '{"zone"', ': "Rome"}'))

    events = await run(agent, [middleware])

    assert kinds(events)[-3:] == ["TOOL_CALL_RESULT", "ACTIVITY_SNAPSHOT", "RUN_FINISHED"]
    assert events[-3]["toolCallId"] == "c1"
    assert events[-3]["content"] == "It is noon in Rome."
    content = events[-2]["content"]
    assert events[-2]["activityType"] == "mcp-apps"
    assert content["resourceUri"] == RESOURCE
    assert content["toolInput"] == {"zone": "Rome"}
    assert content["result"]["content"][0]["text"] == "It is noon in Rome."
    assert (content["serverId"], content["serverHash"]) == ("clock", middleware.servers[0].hash)
    assert clock.called == [("show_clock", {"zone": "Rome"})]


async def test_run__several_calls(http_clock):
    """Each call has its answer, in the order of the calls."""
    agent = Saying(*calls("show_clock", '{"zone": "Rome"}', id="c1"), *calls("stop", id="c2"))

    events = await run(agent, [apps(http_clock)])

    results = only(events, "TOOL_CALL_RESULT")
    assert [(each["toolCallId"], each["content"]) for each in results] == [
        ("c1", "It is noon in Rome."),
        ("c2", "Stopped."),
    ]


async def test_run__answered_call(http_clock):
    """Calls with a result, and calls of other tools, are left alone."""
    agent = Saying(
        *calls("show_clock", id="c1"), result("Midnight.", "c1"), *calls("other", id="c2")
    )

    events = await run(agent, [apps(http_clock)])

    assert [each["content"] for each in only(events, "TOOL_CALL_RESULT")] == ["Midnight."]
    assert http_clock.called == []


async def test_run__call_in_a_snapshot(http_clock):
    """Agents may tell of their calls in a list of messages; old ones are not made again."""

    def message(id):
        function = {"name": "show_clock", "arguments": '{"zone": "Rome"}'}
        call = {"id": id, "type": "function", "function": function}
        return {"id": f"m-{id}", "role": "assistant", "toolCalls": [call]}

    agent = Saying({"type": "MESSAGES_SNAPSHOT", "messages": [message("old"), message("new")]})

    events = await run(agent, [apps(http_clock)], messages=[message("old")])

    assert [each["toolCallId"] for each in only(events, "TOOL_CALL_RESULT")] == ["new"]


@pytest.mark.parametrize("arguments", ["{", "[]", '"x"', "null", "{}}"])
async def test_run__bad_arguments(http_clock, arguments):
    """Arguments that are no object are answered with an error and no interface."""
    events = await run(Saying(*calls("show_clock", arguments)), [apps(http_clock)])

    assert "must be a JSON object" in json.loads(events[-2]["content"])["error"]
    assert http_clock.called == []


async def test_run__failed_tool(http_clock):
    """What the server says of arguments it refuses is shown like any result."""
    events = await run(Saying(*calls("show_clock", '{"zone": []}')), [apps(http_clock)])

    assert events[-2]["content"]["result"]["isError"] is True


async def test_run__events_after_the_end(http_clock):
    """Of several runs in one stream, each keeps its end."""
    second = [{"type": "RUN_FINISHED"}, {"type": "RUN_STARTED"}]

    events = await run(Saying(*second, *calls("stop")), [apps(http_clock)])

    assert kinds(events)[:3] == ["RUN_STARTED", "RUN_FINISHED", "RUN_STARTED"]
    assert kinds(events)[-1] == "RUN_FINISHED"


async def test_run__other_agents(http_clock):
    """A server may be for some agents only."""
    agent = Saying()

    await run(agent, [apps(http_clock, agents=["other"])])

    assert agent.contexts[0].input.tools == []


async def test_run__chosen_tools(http_clock):
    """A server may be held to some of its tools, also where apps call them."""
    agent = Saying()
    middleware = apps(http_clock, tools=["stop"])

    await run(agent, [middleware])

    assert [tool["name"] for tool in agent.contexts[0].input.tools] == ["stop"]
    refused = await answered(middleware, "tools/call", params={"name": "wind"})
    assert refused == {"error": "An app may not call the tool 'wind'"}


async def test_run__name_taken(http_clock, caplog):
    """A tool of the page keeps its name."""
    agent = Saying()
    mine = {"name": "stop", "description": "Mine.", "parameters": {}}

    await run(agent, [apps(http_clock)], tools=[mine])

    tools = agent.contexts[0].input.tools
    assert [tool["name"] for tool in tools] == ["stop", "show_clock"]
    assert tools[0] == mine
    assert "The tool stop of MCP server" in caplog.text


async def test_run__asked_once(http_clock):
    """What a server has is remembered for the runs to come."""
    middleware = apps(http_clock)
    await run(Saying(), [middleware])
    asked = len(http_clock.headers)

    await run(Saying(), [middleware])

    assert len(http_clock.headers) == asked


async def test_run__headers_of_the_user(http_clock):
    """Headers may be made for each run; users do not share what was listed for another."""

    async def headers(context):
        return {"Authorization": f"Bearer {context.scope}"}

    middleware = apps(http_clock, headers=headers)
    for scope in ("user:1", "user:2", "user:1"):
        context = context_of()
        context.scope = scope
        wrapped = MiddlewareStack([middleware]).wrap("default", Saying(), context.input)
        _ = [event async for event in wrapped.run(context)]

    seen = [each["authorization"] for each in http_clock.headers]
    assert list(dict.fromkeys(seen)) == ["Bearer user:1", "Bearer user:2"]
    assert seen[-1] == "Bearer user:2"


async def test_run__headers_fail(http_clock, caplog):
    """Without headers a server is skipped."""

    def headers(context):
        raise LookupError("no token")

    agent = Saying()
    events = await run(agent, [apps(http_clock, headers=headers)])

    assert kinds(events) == ["RUN_STARTED", "RUN_FINISHED"]
    assert agent.contexts[0].input.tools == []
    assert "it is skipped" in caplog.text


async def test_proxied__resource(clock):
    """An app is given its page."""
    answer = await answered(apps(clock), "resources/read", params={"uri": RESOURCE})

    assert answer["contents"][0]["text"] == PAGE


async def test_proxied__tool(clock):
    """An app may call the tools that are for apps, and those for everybody."""
    middleware = apps(clock)

    wound = await answered(
        middleware, "tools/call", params={"name": "wind", "arguments": {"turns": 3}}
    )
    plain = await answered(middleware, "tools/call", params={"name": "plain"})

    assert wound["content"][0]["text"] == "Wound 3 times."
    assert plain["content"][0]["text"] == "Plain."
    assert clock.called == [("wind", {"turns": 3}), ("plain", {})]


async def test_proxied__ping(clock):
    """An app may ask whether its server is there."""
    assert await answered(apps(clock), "ping") == {}


async def test_proxied__message(http_clock, caplog):
    """What an app wants logged is logged, and goes no further."""
    caplog.set_level(logging.DEBUG, "copilotkit.mcp")

    answer = await answered(apps(http_clock), "notifications/message", params={"data": "hello"})

    assert answer == {"success": True}
    assert '{"data":"hello"}' in caplog.text
    assert http_clock.headers == []


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("resources/read", {"uri": "file:///secret"}, "An app may read ui:// resources only"),
        ("resources/read", {}, "An app may read ui:// resources only"),
        ("resources/read", {"uri": "ui://nowhere"}, "MCP request failed"),
        ("tools/call", {"name": "stop"}, "An app may not call the tool 'stop'"),
        ("tools/call", {"name": "unknown"}, "An app may not call the tool 'unknown'"),
        ("tools/call", {"name": ["stop"]}, "A tool is called with its name"),
        ("tools/call", {"name": "wind", "arguments": []}, "A tool is called with its name"),
        ("tools/list", {}, "MCP method not allowed for UI proxy: tools/list"),
        ("resources/list", {}, "MCP method not allowed for UI proxy: resources/list"),
        (["ping"], {}, "MCP method not allowed for UI proxy"),
        (None, None, "MCP method not allowed for UI proxy"),
    ],
)
async def test_proxied__refused(http_clock, method, params, error):
    """What apps do not need is refused, before anything is done."""
    answer = await answered(apps(http_clock), method, params=params)

    assert list(answer) == ["error"]
    assert answer["error"].startswith(error)
    assert http_clock.called == []


@pytest.mark.parametrize(
    "request_", [{"serverHash": "0" * 32}, {"serverHash": None}, {"serverId": "x"}, {}, "x", [1]]
)
async def test_proxied__unknown_server(http_clock, request_):
    """A server that is not the agent's own is unknown, and the agent is not asked instead."""
    agent = Saying()
    context = context_of(forwardedProps={"__proxiedMCPRequest": request_})
    stack = MiddlewareStack(mcp_apps=[{"url": http_clock.url, "allow_private_addresses": True}])

    events = [e async for e in stack.wrap("default", agent, context.input).run(context)]

    assert events[-1]["result"]["error"].startswith("Unknown server: ")
    assert agent.contexts == []


async def test_proxied__server_of_another_agent(http_clock):
    """Who may talk to one agent does not reach the servers of another."""
    middleware = MCPApps(
        [{"url": http_clock.url, "allow_private_addresses": True, "agents": ["other"]}], last=True
    )

    answer = await answered(middleware, "ping")

    assert answer["error"].startswith("Unknown server: ")


async def test_proxied__without_servers():
    """Where there are no apps such a request is refused; no agent takes it for a message."""
    agent = Saying()
    context = context_of(forwardedProps={"__proxiedMCPRequest": {"method": "ping"}})

    wrapped = MiddlewareStack().wrap("default", agent, context.input)
    events = [event async for event in wrapped.run(context)]

    assert wrapped.is_aside(context.input)
    assert events[-1]["result"] == {"error": "Unknown server: None"}
    assert agent.contexts == []


async def test_proxied__two_middlewares(http_clock):
    """Each answers for its own servers; what the outer does not know is left to the inner."""
    outer = MCPApps([{"url": "http://other.example/mcp"}])

    wrapped = MiddlewareStack([outer, apps(http_clock)])
    context = context_of(**asking(apps(http_clock), "resources/read", params={"uri": RESOURCE}))
    events = [e async for e in wrapped.wrap("default", Saying(), context.input).run(context)]

    assert events[-1]["result"]["contents"][0]["text"] == PAGE


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ({"_meta": {"ui": {"resourceUri": "ui://a"}}}, ("ui://a", ["model", "app"])),
        ({"_meta": {"ui/resourceUri": "ui://a"}}, ("ui://a", ["model", "app"])),
        (
            {"_meta": {"ui": {"resourceUri": "ui://a"}, "ui/resourceUri": "ui://b"}},
            ("ui://a", ["model", "app"]),
        ),
        ({"_meta": {"ui": {"resourceUri": 7}, "ui/resourceUri": "ui://b"}}, ("ui://b", None)),
        ({"_meta": {"ui": {"resourceUri": "https://a"}}}, (None, None)),
        ({"_meta": {"ui": {"resourceUri": "ui://a", "visibility": ["app"]}}}, ("ui://a", ["app"])),
        ({"_meta": {"ui": {"resourceUri": "ui://a", "visibility": "model"}}}, ("ui://a", [])),
        ({"_meta": []}, (None, None)),
        ({"_meta": {"ui": "x"}}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_interface__forms(tool, expected):
    """Both published forms name the interface; the newer says who may call."""
    uri, visibility = listing.interface(tool)

    assert uri == expected[0]
    assert visibility == (["model", "app"] if expected[1] is None else expected[1])


def test_hash__without_credentials():
    """What pages know a server by tells nothing of its credentials."""
    plain, *others = (
        MCPApps([{"url": "https://a.example/mcp", **options}]).servers[0]
        for options in (
            {},
            {"headers": {"Authorization": "Bearer x"}},
            {"url": "https://a.example/mcp?key=secret"},
        )
    )

    assert {other.hash for other in others} == {plain.hash}
    assert "secret" not in others[1].name
    assert "Bearer" not in repr(others[0])
    assert MCPApps([{"url": "https://b.example/mcp"}]).servers[0].hash != plain.hash


@pytest.mark.parametrize(
    ("servers", "text"),
    [
        (["https://a.example"], "a mapping with a url, not str"),
        ([{}], "needs a url"),
        ([{"url": "ftp://a.example"}], "must begin with http:// or https://"),
        ([{"url": "/mcp"}], "must begin with http:// or https://"),
        ([{"url": 7}], "must begin with http:// or https://"),
        ([{"url": "https://me:pw@a.example"}], "credentials belong into its headers"),
        ([{"url": "https://[a.example"}], "cannot be read"),
        ([{"url": "https://a.example", "tools": 7}], "tools must be a list"),
        ([{"url": "https://a.example", "type": "stdio"}], "not 'http' or 'sse'"),
        ([{"url": "https://a.example", "header": {}}], "Did you mean 'headers'"),
        ([{"url": "https://a.example", "headers": 7}], "neither a mapping nor a callable"),
        ([{"url": "https://a.example", "headers": "nowhere.at_all"}], "cannot be imported"),
        ([{"url": "https://a.example", "agents": "default"}], "agents must be a list"),
        ([{"url": "https://a.example", "tools": [7]}], "tools must be a list"),
        ([{"url": "https://a.example", "timeout": 0}], "timeout must be"),
        ([{"url": "https://a.example", "max_bytes": 1.5}], "max_bytes must be"),
        ([{"url": "https://a.example"}] * 2, "give each a server_id"),
        (
            [{"url": f"https://{x}.example", "server_id": "same"} for x in "ab"],
            "give each a server_id",
        ),
    ],
)
def test_servers__wrong(servers, text):
    """A server that cannot be used is refused with what is wrong with it."""
    with pytest.raises(ImproperlyConfigured, match=text):
        MCPApps(servers)
