"""What the page on agents says is so."""

from __future__ import annotations

import asyncio
import json
from io import StringIO

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, models

from copilotkit_django.hooks import copilotkit
from copilotkit_django.testing import FakeLLM
from tests.frameworks.cases.langgraph import forget_clients
from tests.integration.site import Caller, first_event
from tests.talk import events_in, kinds, run_input, text_of, user_message, within

from .http_server import HOST, http_server
from .pages import Page


class Note(models.Model):
    """The model the reader is supposed to have."""

    scope = models.TextField()
    text = models.TextField()

    class Meta:
        app_label = "notes"

    def __str__(self) -> str:
        return self.text


page = Page("how-to/agents.md", notes__models={"Note": Note})

in_database = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _keys_in_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("ALMANAC_KEY", "k")


@pytest.fixture
def notes(transactional_db):
    with connection.schema_editor() as editor:
        editor.create_model(Note)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Note)


@pytest.fixture
async def server():
    async with http_server() as server:
        yield server


async def agents_of(caller) -> dict:
    return (await caller.ask("GET", "/info")).data["agents"]


def only(events, kind):
    return [event for event in events if event["type"] == kind]


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@page("A function")
async def test_function(project, alice):
    """The function answers, and is described by what its decorator says."""
    events = (await alice.run(run_input("hello"))).events

    assert text_of(events) == "hello"
    assert (await agents_of(alice))["default"]["description"] == "Repeats what you say."


@page("A class")
async def test_class(project, alice):
    """Runs share nothing: the second counts from the start again."""
    first = await alice.run(run_input(run="r1"))
    second = await alice.run(run_input(run="r2"))

    assert text_of(first.events) == text_of(second.events) == "3… 2… 1… "


@page("What must not be copied")
async def test_clone(project, alice, server):
    """Clones share the client, and it works."""
    librarian = project["mysite.agents"].librarian
    librarian.url = server.url
    server.says("a large grey animal")

    events = (await alice.run(run_input("elephant"))).events
    await librarian.client.aclose()

    assert text_of(events) == "a large grey animal"
    assert server.asked[0].data == {"word": "elephant"}
    assert librarian.clone() is not librarian
    assert librarian.clone().client is librarian.client


@page("What a run knows")
async def test_context(project, settings, alice, bob):
    """The agent knows the hook's note, the header, and how often this owner asked."""
    await cache.aclear()

    def note_role(request):
        copilotkit(request).context["role"] = "editor"

    settings.COPILOTKIT = {**settings.COPILOTKIT, "BEFORE_REQUEST_MIDDLEWARE": note_role}

    first = await alice.run(run_input("a", run="r1"), x_tenant="acme")
    second = await alice.run(run_input("b", run="r2"))
    others = await bob.run(run_input("c", run="r3"))

    assert text_of(first.events) == "Stranger, editor of acme, message 1, question 1: a"
    assert text_of(second.events) == "Stranger, editor of no tenant, message 1, question 2: b"
    assert text_of(others.events) == "Stranger, editor of no tenant, message 1, question 1: c"
    assert (await agents_of(alice))["default"]["description"].startswith("Knows you")


@in_database
@page("What a run knows")
async def test_context__user(project, settings):
    """It knows the user of the site."""
    await cache.aclear()
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AUTHENTICATION": "session"}
    ada = await signed_in("ada")

    events = (await ada.run(run_input("a"))).events

    assert text_of(events).startswith("ada, guest of no tenant")


async def signed_in(name: str, **fields) -> Caller:
    browser = Caller(headers={"origin": "http://testserver"})
    await browser.client.aforce_login(await User.objects.acreate_user(name, **fields))
    return browser


@page("Text")
async def test_text(project, alice):
    """Chunks arrive as start, content and end, like what is yielded so."""
    events = (await alice.run(run_input())).events

    assert kinds(events) == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        *["TEXT_MESSAGE_CONTENT"] * 2,
        "TEXT_MESSAGE_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert text_of(events) == "Good morning.How are you?"


@page("Reasoning and steps")
async def test_reasoning(project, alice):
    """The reasoning stands within its step, before the text."""
    events = (await alice.run(run_input())).events

    found = kinds(events)
    assert found[1] == "STEP_STARTED"
    assert "REASONING_MESSAGE_CONTENT" in found[2 : found.index("STEP_FINISHED")]
    assert text_of(events) == "Hello!"
    assert found[-1] == "RUN_FINISHED"


@page("Shared state")
async def test_state(project, alice):
    """The snapshot keeps what the page sent; who comes back finds the patches applied."""
    events = (await alice.run(run_input(state={"dark": True}))).events
    again = (await alice.connect(run_input())).events

    assert kinds(events)[1:-1] == ["STATE_SNAPSHOT", "STATE_DELTA", "STATE_DELTA"]
    assert events[1]["snapshot"] == {"dark": True, "watered": []}
    snapshots = only(again, "STATE_SNAPSHOT")
    assert snapshots[-1]["snapshot"] == {"dark": True, "watered": ["fern", "ivy"]}


SET_COLOR = {"name": "setColor", "description": "", "parameters": {"type": "object"}}


@page("Tools of the page")
async def test_tools(project, alice):
    """The call is left open; the next run reads its result."""
    asked = (await alice.run(run_input("paint it", tools=[SET_COLOR]))).events

    [start], [args] = only(asked, "TOOL_CALL_START"), only(asked, "TOOL_CALL_ARGS")
    assert (start["toolCallName"], json.loads(args["delta"])) == ("setColor", {"color": "teal"})
    assert not only(asked, "TOOL_CALL_RESULT")
    assert kinds(asked)[-1] == "RUN_FINISHED"

    call_id = start["toolCallId"]
    function = {"name": "setColor", "arguments": args["delta"]}
    call = {"id": call_id, "type": "function", "function": function}
    messages = [
        user_message("paint it"),
        {"id": "a1", "role": "assistant", "toolCalls": [call]},
        {"id": "tool1", "role": "tool", "toolCallId": call_id, "content": "painted"},
    ]
    answered = await alice.run(run_input(run="r2", tools=[SET_COLOR], messages=messages))
    assert text_of(answered.events) == "The page says: painted"


@page("Tools of the page")
async def test_tools__none(project, alice):
    """Tools that the page does not offer are not called."""
    events = (await alice.run(run_input())).events

    assert text_of(events) == "This page has no paint."
    assert kinds((await alice.run(run_input(run="r2", messages=[]))).events)[-1] == "RUN_FINISHED"


async def asked_by(caller) -> str:
    """The id of the interrupt somebody's run ended with."""
    finished = (await caller.run(run_input("the will"))).events[-1]
    assert finished["type"] == "RUN_FINISHED"
    assert finished["outcome"]["type"] == "interrupt"
    [interrupt] = finished["outcome"]["interrupts"]
    assert interrupt["message"] == "Shred the will?"
    return interrupt["id"]


@page("Ask the person")
@pytest.mark.parametrize(
    ("decision", "text"),
    [
        ({"status": "resolved", "payload": {"approved": True}}, "the will is gone."),
        ({"status": "resolved", "payload": {"approved": False}}, "the will stays."),
        ({"status": "cancelled"}, "the will stays."),
    ],
    ids=["approved", "refused", "cancelled"],
)
async def test_interrupt(project, alice, decision, text):
    """What the person decides, another run finds."""
    resume = [{"interruptId": await asked_by(alice), **decision}]

    events = (await alice.run(run_input(run="r2", resume=resume))).events

    assert text_of(events) == text
    assert "outcome" not in events[-1]


@page("Ask the person")
async def test_interrupt__foreign(project, alice, bob):
    """Another owner cannot answer."""
    decision = {"status": "resolved", "payload": {"approved": True}}
    resume = [{"interruptId": await asked_by(alice), **decision}]

    events = (await bob.run(run_input(run="r2", resume=resume))).events

    assert kinds(events)[-1] == "RUN_ERROR"
    assert text_of(events) == ""


@pytest.mark.usefixtures("notes")
@page("Use the ORM")
async def test_orm(project, alice, bob):
    """Notes are stored and replaced, each owner's for themselves."""
    await bob.run(run_input("his"))

    first = await alice.run(run_input("eggs", run="r1"))
    second = await alice.run(run_input("milk", run="r2"))
    third = await alice.run(run_input("only tea", run="r3"))

    assert [text_of(answer.events) for answer in (first, second, third)] == [
        "eggs",
        "eggs, milk",
        "tea",
    ]
    assert await sync_to_async(list)(
        Note.objects.order_by("text").values_list("text", flat=True)
    ) == ["his", "tea"]


@pytest.mark.usefixtures("notes")
@page("Use the ORM")
async def test_orm__synchronous(project, alice, caplog):
    """The synchronous ORM refuses to block everybody."""

    async def blocking(context):
        yield context.started()
        Note.objects.count()

    project["mysite.agents"].secretary.function = blocking

    assert kinds((await alice.run(run_input())).events)[-1] == "RUN_ERROR"
    assert "SynchronousOnlyOperation" in caplog.text


async def stopped(caller, *, after):
    """The events of a run that was stopped when it had sent that."""
    response = await caller.open("POST", "/agent/default/run", run_input())
    chunks, body = aiter(response), b""
    while after.encode() not in body:
        body += await within(anext(chunks))
    answer = await caller.ask("POST", "/agent/default/stop/t1")
    assert answer.data["stopped"]
    while chunk := await within(anext(chunks, b"")):
        body += chunk
    return events_in(body)


@page("Stop")
async def test_stop(project, alice):
    """The agent has the last word."""
    events = await stopped(alice, after='"1 "')

    assert text_of(events).startswith("0 1 ")
    assert text_of(events).endswith("and so on.")
    assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]


@page("Text")
async def test_stop__plain(project, alice):
    """What an agent that does not care left open is closed."""

    async def patient(context):
        yield context.started()
        yield {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": "Wait"}
        await asyncio.sleep(60)

    project["mysite.agents"].speaker.function = patient

    events = await stopped(alice, after="Wait")

    assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]


@page("Stop")
async def test_stop__tab_closed(project, alice):
    """A reader that goes away stops nothing."""
    response = await alice.open("POST", "/agent/default/run", run_input())
    await (await first_event(response)).aclose()
    await asyncio.sleep(0.05)

    answer = await alice.ask("POST", "/agent/default/stop/t1")

    assert answer.data["stopped"]


@page("Stop a thread")
async def test_stop__thread(project, alice):
    """The thread notices, and the run ends as a stopped one."""
    events = await stopped(alice, after="RUN_STARTED")

    assert kinds(events) == ["RUN_STARTED", "RUN_FINISHED"]


@page("Errors")
async def test_errors__own_words(project, alice):
    """An error the agent yields is told in its words."""
    error = (await alice.run(run_input())).events[-1]

    assert (error["type"], error["code"]) == ("RUN_ERROR", "WHO_ARE_YOU")
    assert error["message"] == "Please sign in first."


@in_database
@page("Errors")
@pytest.mark.parametrize("exposed", [False, True])
async def test_errors__raised(project, settings, caplog, exposed):
    """The text of an exception is told only where that is allowed; the log has it under an id."""
    more = {"AUTHENTICATION": "session", "EXPOSE_ERROR_TEXT": exposed}
    settings.COPILOTKIT = {**settings.COPILOTKIT, **more}
    ada = await signed_in("ada")

    error = (await ada.run(run_input())).events[-1]

    assert error["type"] == "RUN_ERROR"
    assert ("vault-7" in error["message"]) is exposed
    if not exposed:
        [record] = [r for r in caplog.records if r.name == "copilotkit.incident"]
        assert error["message"].rpartition(" ")[2] in record.getMessage()
        assert "vault-7" in record.exc_text


@pytest.fixture
async def model(project, server):
    """The server in place of OpenAI's, with the real client."""
    client = project["mysite.agents"].client
    client.base_url = server.url
    client.max_retries = 0
    yield server
    await client.close()


@page("Call a model")
async def test_model(project, model, alice):
    """What the model says streams into one message; it is sent the text of the conversation."""
    model.completes("Good ", "day", "!")
    parts = [{"type": "text", "text": "in parts"}]
    messages = [
        {"id": "1", "role": "system", "content": "You are a pirate."},
        user_message("Hi", "2"),
        {"id": "3", "role": "assistant", "content": "Hello."},
        {"id": "4", "role": "user", "content": parts},
        user_message("And you?", "5"),
    ]

    events = (await alice.run(run_input(messages=messages))).events

    deltas = [event["delta"] for event in only(events, "TEXT_MESSAGE_CONTENT")]
    assert deltas == ["Good ", "day", "!"]
    assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]
    [asked] = model.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer sk-test"
    assert asked.data["stream"] is True
    assert asked.data["messages"] == [
        project["mysite.agents"].PROMPT,
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And you?"},
    ]


@page("Call a model")
async def test_model__environment(project, server, alice, monkeypatch):
    """The client finds another server by its variable."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.completes("Hello")
    module = page.project("Call a model")["mysite.agents"]
    monkeypatch.setattr(project["mysite.agents"], "client", module.client)

    events = (await alice.run(run_input())).events
    await module.client.close()

    assert text_of(events) == "Hello"


@page("Call a model")
async def test_model__stop(project, model, alice):
    """A stop closes the connection to the model, and what was said stays."""
    model.hangs = True
    model.completes("Let me ", "think")

    events = await stopped(alice, after="think")

    await within(model.left.wait())
    assert text_of(events) == "Let me think"
    assert kinds(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]


@page("Call a model")
async def test_model__fails(project, model, alice):
    """A model that refuses ends the run with an error that does not say why."""
    model.status, model.content_type = 401, "application/json"
    model.says('{"error": {"message": "Incorrect API key: sk-test"}}')

    error = (await alice.run(run_input())).events[-1]

    assert error["type"] == "RUN_ERROR"
    assert "sk-test" not in error["message"]


@page("Several agents")
async def test_mapping(project, alice):
    """Both are there, by the ids of the mapping, on one thread if you like."""
    found = await agents_of(alice)

    assert {key: value["description"] for key, value in found.items()} == {
        "default": "Rhymes.",
        "critic": "Objects.",
    }
    for run, name in enumerate(found):
        events = (await alice.run(run_input(run=f"r{run}"), name)).events
        assert kinds(events) == ["RUN_STARTED", "RUN_FINISHED"]


@page("A list of agents")
async def test_list(project, alice):
    """In a list they go by their names."""
    assert set(await agents_of(alice)) == {"default", "critic"}


@in_database
@page("Agents for each request")
async def test_factory(project, settings):
    """Staff has one more agent, which does not exist for others."""
    settings.COPILOTKIT = {**settings.COPILOTKIT, "AUTHENTICATION": "session"}
    ada, eve = await signed_in("ada", is_staff=True), await signed_in("eve")

    assert set(await agents_of(ada)) == {"default", "auditor"}
    assert set(await agents_of(eve)) == {"default"}
    assert (await ada.run(run_input(), "auditor")).status == 200
    assert (await eve.run(run_input(), "auditor")).status == 404


@in_database
@page("Agents for each request")
async def test_factory__known(project, settings):
    """The factory may ask who was let in."""
    ada, known = await signed_in("ada"), []

    def factory(request):
        known.append((copilotkit(request).user.username, copilotkit(request).scope))
        return project["mysite.agents"].agents_for(request)

    settings.COPILOTKIT = {
        **settings.COPILOTKIT,
        "AGENTS": factory,
        "AUTHENTICATION": lambda request: (request.user, "team:7"),
    }

    assert set(await agents_of(ada)) == {"default"}
    assert known == [("ada", "team:7")]


@in_database
@page("Agents for each request")
async def test_factory__command(project):
    """On the command line it is asked about the user of --user."""
    await User.objects.acreate_user("ada", is_staff=True)
    staff, nobody = StringIO(), StringIO()

    await sync_to_async(call_command)("copilotkit_agents", user="ada", stdout=staff)
    await sync_to_async(call_command)("copilotkit_agents", stdout=nobody)

    assert "auditor" in staff.getvalue()
    assert "auditor" not in nobody.getvalue()


ANSWER = [
    {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"},
    {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": "It is Friday."},
    {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"},
]


@page("An agent behind HTTP")
async def test_http(project, server, alice):
    """The endpoint gets the input and the headers that go; its events come back."""
    project["mysite.agents"].almanac.url = server.url
    server.streams(ANSWER)
    activity = {"id": "x", "role": "activity", "activityType": "plan", "content": {}}
    wire = run_input("what day?", tools=[SET_COLOR], state={"a": 1}, forwardedProps={"b": 2})
    wire["messages"].insert(0, activity)
    sent = {"authorization": "Bearer u", "x_tenant": "acme", "x_service_key": "no"}
    alice.headers["origin"] = "http://testserver"
    alice.client.cookies["theme"] = "dark"

    events = (await alice.run(wire, **sent)).events

    assert text_of(events) == "It is Friday."
    [asked] = server.asked
    assert asked.data["messages"] == wire["messages"][1:]
    for key in ("threadId", "runId", "tools", "context", "state", "forwardedProps"):
        assert asked.data[key] == wire[key]
    assert asked.headers["authorization"] == "Bearer u"
    assert asked.headers["x-tenant"] == "acme"
    assert asked.headers["x-service-key"] == "k"
    assert "cookie" not in asked.headers


def refuses(server):
    server.status = 503


def redirects(server):
    server.status, server.headers = 307, {"location": server.url}


def breaks_off(server):
    server.streams(ANSWER[:-1])


def is_silent(server):
    server.hangs = True
    server.streams(ANSWER[:-1])


@page("An agent behind HTTP")
@pytest.mark.parametrize("behaves", [refuses, redirects, breaks_off, is_silent])
async def test_http__fails(project, server, alice, behaves):
    """Such an endpoint ends the run with an error."""
    almanac = project["mysite.agents"].almanac
    almanac.url = server.url
    if behaves is is_silent:
        almanac.timeout = 0.1
    behaves(server)

    assert kinds((await alice.run(run_input())).events)[-1] == "RUN_ERROR"
    assert len(server.asked) == 1


@page("An agent behind HTTP")
async def test_http__down(project, alice):
    """So does one that is not there."""
    project["mysite.agents"].almanac.url = f"http://{HOST}:1/"

    assert kinds((await alice.run(run_input())).events)[-1] == "RUN_ERROR"


@page("An agent behind HTTP")
def test_http__timeout(project):
    """Without a timeout of its own, connecting may take ten seconds and silence is not limited."""
    from copilotkit_django import HttpAgent

    default = HttpAgent("http://testserver/").timeout

    assert (default.connect, default.read) == (10, None)
    assert project["mysite.agents"].almanac.timeout == 60


@page("An agent behind HTTP")
async def test_http__own_threads(project, server, alice, bob):
    """The endpoint gets a key of the thread that no other owner has; the page gets its own id."""
    project["mysite.agents"].almanac.url = server.url
    project["mysite.agents"].almanac.own_threads = True
    server.streams(ANSWER)

    hers, his = [await caller.run(run_input("what day?")) for caller in (alice, bob)]

    first, second = (asked.data["threadId"] for asked in server.asked)
    assert len({first, second, "t1"}) == 3
    for answer in (hers, his):
        assert {event.get("threadId", "t1") for event in answer.events} == {"t1"}


@page("An agent of another runtime")
async def test_runtime(project, server, alice):
    """The other runtime is sent the envelope of its single route."""
    project["mysite.agents"].forecaster.url = server.url
    server.streams(ANSWER)

    events = (await alice.run(run_input("what day?"))).events

    assert text_of(events) == "It is Friday."
    [asked] = server.asked
    assert asked.data["method"] == "agent/run"
    assert asked.data["params"] == {"agentId": "weatherAgent"}
    assert asked.data["body"]["messages"][0]["content"] == "what day?"


@page("Capabilities")
async def test_capabilities(project, alice):
    """They stand in /info."""
    found = await agents_of(alice)

    assert {key: value["capabilities"] for key, value in found.items()} == {
        "default": {"state": {"snapshots": True, "deltas": True}},
        "shredder": {"humanInTheLoop": {"supported": True, "interrupts": True}},
    }


@in_database
@pytest.mark.filterwarnings("default")
@page.elsewhere("Agents of other frameworks")
async def test_framework(settings, monkeypatch, serve):
    """The agent of LangChain calls its tool, which knows who asks."""
    pytest.importorskip("ag_ui_langgraph")
    pytest.importorskip("copilotkit")
    pytest.importorskip("langchain_openai")
    forget_clients()
    ada = await signed_in("ada")
    with FakeLLM() as llm:
        for name, value in llm.environment("openai").items():
            monkeypatch.setenv(name, value)
        project = page.project("Agents of other frameworks")
        try:
            serve(agents={"default": project["mysite.agents"].assistant}, authentication="session")

            events = (await ada.run(run_input("call about_me"))).events
        finally:
            project.forget()

    assert text_of(events).startswith("The tool said: ada, no group, joined ")
