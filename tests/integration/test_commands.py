"""Management commands, as somebody at a terminal uses them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError

from copilotkit_django.agents import agent
from copilotkit_django.events.snapshot import messages
from copilotkit_django.management.terminal import printable
from copilotkit_django.models import Run, Thread
from copilotkit_django.runners import ThreadRef
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.runners.export import export_thread
from tests.acting import Failing, Parrot, Staged
from tests.talk import collect, within
from tests.unit.runners.requests import request_for

pytestmark = pytest.mark.django_db(transaction=True)


def manage(*arguments: str) -> tuple[str, str]:
    """What a command says, and what it says on the side."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def agents(settings) -> Any:
    """Give the project these agents, and keep its threads in the database."""

    def configure(agents: Any, **options: Any) -> None:
        settings.COPILOTKIT = {"AGENTS": agents, **options}

    configure({"default": Parrot()})
    return configure


@pytest.fixture
def alice() -> Any:
    return get_user_model().objects.create_user("alice")


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


@agent(name="Helper", description="Greets whom it serves.")
async def greeter(context):
    yield context.started()
    yield {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"}
    name = "stranger" if context.user is None else context.user.username
    for text in ("Hello ", f"{name} ", f"of {context.scope}"):
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": text}
    yield {"type": "TEXT_MESSAGE_END", "messageId": "m"}
    yield context.finished()


@agent
async def caller(context):
    yield context.started()
    yield {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "look"}
    yield {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '{"at":1}'}
    yield {"type": "TOOL_CALL_END", "toolCallId": "c"}
    yield {
        "type": "TOOL_CALL_RESULT",
        "messageId": "m",
        "toolCallId": "c",
        "content": "\x1b[2Jseen",
    }
    yield context.finished()


class TestAgents:
    def test_list(self, agents):
        """Each agent has a line: id, name, description."""
        agents({"default": Parrot(), "greeter": greeter})

        out, _ = manage("copilotkit_agents")

        assert out == "default\ngreeter  Helper: Greets whom it serves.\n"

    def test_list__none(self, agents):
        """Where there are none there is nothing to say."""
        agents({})

        assert manage("copilotkit_agents") == ("", "")

    def test_list__of_a_factory(self, agents, alice):
        """A factory is asked for the agents of the user."""

        def for_request(request):
            return {"own": Parrot()} if request.user.is_authenticated else {}

        agents(for_request)

        assert manage("copilotkit_agents") == ("", "")
        assert manage("copilotkit_agents", "--user", "alice") == ("own\n", "")

    def test_call(self, agents):
        """What the agent says stands on the output, and nothing is kept."""
        agents({"greeter": greeter})

        out, err = manage("copilotkit_agents", "greeter", "Hi")

        assert (out, err) == ("Hello stranger of terminal\n", "")
        assert not Thread.objects.exists()

    def test_call__as_user(self, agents, alice):
        """The agent serves the user it is told to."""
        agents({"greeter": greeter})

        out, _ = manage("copilotkit_agents", "greeter", "Hi", "--user", "alice")

        assert out == f"Hello alice of user:{alice.pk}\n"

    def test_call__thread_scope(self, agents, alice):
        """In the scope the project has for that user."""
        agents({"greeter": greeter}, THREAD_SCOPE=lambda request, user: f"team:{user.username}")

        out, _ = manage("copilotkit_agents", "greeter", "Hi", "--user", "alice")

        assert out == "Hello alice of team:alice\n"

    def test_call__tools(self, agents):
        """Calls of tools are shown on the side, and steer no terminal."""
        agents({"caller": caller})

        out, err = manage("copilotkit_agents", "caller", "Look!")

        assert (out, err) == ("", 'look({"at":1})\n-> \\x1b[2Jseen\n')

    def test_call__events(self, agents):
        """The events themselves, one a line."""
        agents({"greeter": greeter})

        out, _ = manage("copilotkit_agents", "greeter", "Hi", "--events")

        kinds = [json.loads(line)["type"] for line in out.splitlines()]
        assert (kinds[0], kinds[-1]) == ("RUN_STARTED", "RUN_FINISHED")

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["nobody", "Hi"], "There is no agent 'nobody'. Those there are: default."),
            (["default"], "Say something to it"),
            (["default", "Hi", "--user", "eve"], "There is no user 'eve'."),
        ],
    )
    def test_call__impossible(self, agents, arguments, sentence):
        """A mistake is named, with what would be right."""
        with pytest.raises(CommandError, match=sentence):
            manage("copilotkit_agents", *arguments)

    def test_call__failed(self, agents):
        """A run that fails is a command that fails."""
        agents({"default": Failing(3, ValueError("it broke"))})

        with pytest.raises(CommandError, match="it broke"):
            manage("copilotkit_agents", "default", "Hi")

    def test_list__wrong_settings(self, agents):
        """Settings that cannot be used are named as `check` names them."""
        agents({"default": 3})

        with pytest.raises(CommandError, match="AGENTS"):
            manage("copilotkit_agents")


@async_to_sync
async def talk(scope: str, *texts: str, agent: Any = None, thread: str = "t1") -> None:
    """Runs on a thread, one for each text."""
    runner = DatabaseRunner()
    try:
        for number, text in enumerate(texts):
            request = request_for(
                agent or Parrot(), text, scope=scope, thread=thread, run=f"r{number}"
            )
            await collect(await runner.run(request))
    finally:
        await runner.drain()


class TestThreads:
    @pytest.fixture(autouse=True)
    def threads(self, agents, alice, bob):
        """Alice and bob each have a thread of the same id, and alice has another."""
        talk(f"user:{alice.pk}", "mine", "still mine")
        talk(f"user:{alice.pk}", "more", thread="t2")
        talk(f"user:{bob.pk}", "his")

    def test_list(self):
        """One line for each thread of that user."""
        out, _ = manage("copilotkit_threads", "list", "--user", "alice")

        assert [line.split("  ")[:2] for line in out.splitlines()] == [
            ["t2", "default"],
            ["t1", "default"],
        ]

    def test_list__scope(self, bob):
        """A scope may be named instead."""
        out, _ = manage("copilotkit_threads", "list", "--scope", f"user:{bob.pk}")

        assert out.startswith("t1  default")

    def test_list__name_of_somebody_else(self):
        """What a client called its thread steers no terminal."""
        Thread.objects.filter(thread_id="t2").update(name="a\x1b]0;b\x07", archived=True)

        out, _ = manage("copilotkit_threads", "list", "--user", "alice")

        assert "a\\x1b]0;b\\x07  (archived)" in out

    def test_list__nothing(self):
        """No threads, no output."""
        assert manage("copilotkit_threads", "list", "--scope", "nobody") == ("", "")

    def test_list__pages(self, monkeypatch):
        """More threads than one query looks up are all there, once."""
        monkeypatch.setattr("copilotkit_django.management.commands.copilotkit_threads.PAGE", 1)

        out, _ = manage("copilotkit_threads", "list", "--user", "alice")

        assert [line.split()[0] for line in out.splitlines()] == ["t2", "t1"]

    def test_show(self):
        """The conversation, as it can be read."""
        out, _ = manage("copilotkit_threads", "show", "t1", "--user", "alice")

        assert out == "user: mine\nassistant: mine\nuser: still mine\nassistant: still mine\n"

    def test_show__tool_call(self, alice):
        """Calls and their results are part of it."""
        talk(f"user:{alice.pk}", "Look!", agent=caller, thread="t3")

        out, _ = manage("copilotkit_threads", "show", "t3", "--user", "alice")

        assert out == 'user: Look!\nassistant: look({"at":1})\ntool: \\x1b[2Jseen\n'

    def test_show__somebody_elses(self):
        """The thread of another user is not there."""
        with pytest.raises(CommandError, match="There is no thread 't2'"):
            manage("copilotkit_threads", "show", "t2", "--user", "bob")

    def test_export(self, alice):
        """Everything of that user, as the admin exports it, and nothing of anybody else."""
        out, _ = manage("copilotkit_threads", "export", "--user", "alice")

        lines = [json.loads(line) for line in out.splitlines()]
        threads = [line["threadId"] for line in lines if line["kind"] == "thread"]
        assert threads == ["t2", "t1"]
        first = [
            line["event"] for line in lines if line["kind"] == "event" and line["threadId"] == "t1"
        ]
        assert [m["content"] for m in messages(first)] == ["mine"] * 2 + ["still mine"] * 2
        assert "his" not in out
        mine = Thread.objects.in_scope(f"user:{alice.pk}")
        exported = [line for id in threads for line in export_thread(mine.get(thread_id=id))]
        assert out.encode() == b"".join(exported)

    def test_export__some(self):
        """Threads may be named."""
        out, _ = manage("copilotkit_threads", "export", "t2", "--user", "alice")

        assert {json.loads(line)["threadId"] for line in out.splitlines()} == {"t2"}
        assert json.loads(out.splitlines()[2])["event"]["type"] == "RUN_STARTED"

    def test_export__database_that_fails(self, monkeypatch):
        """Half of it is not passed off as all there is."""

        def failing(run):
            yield [b"{}"]
            raise OperationalError("gone")

        monkeypatch.setattr("copilotkit_django.runners.export._stored_events", failing)

        with pytest.raises(OperationalError):
            manage("copilotkit_threads", "export", "--user", "alice")

    def test_delete(self, alice, bob):
        """One thread, and not the one of the same id that somebody else has."""
        out, _ = manage("copilotkit_threads", "delete", "t1", "--user", "alice")

        assert out == "1 thread deleted.\n"
        left = Thread.objects.order_by("pk").values_list("scope", "thread_id")
        assert list(left) == [(f"user:{alice.pk}", "t2"), (f"user:{bob.pk}", "t1")]

    def test_delete__all(self, bob):
        """All threads of one user."""
        out, _ = manage("copilotkit_threads", "delete", "--all", "--user", "alice")

        assert out == "2 threads deleted.\n"
        assert Thread.objects.get().scope == f"user:{bob.pk}"
        assert Run.objects.count() == 1

    @pytest.mark.parametrize(
        ("which", "said"),
        [
            (["--all"], "2 threads"),
            (["t1"], "1 thread"),
            (["t1", "t1"], "1 thread"),
            (["t1", "t2"], "2 threads"),
        ],
    )
    def test_delete__dry_run(self, which, said):
        """Nothing happens, but how much would is said."""
        out, _ = manage("copilotkit_threads", "delete", *which, "--dry-run", "--user", "alice")

        assert out == f"{said} would be deleted.\n"
        assert Thread.objects.count() == 3

    def test_delete__nothing(self):
        """Nothing to do, nothing said."""
        assert manage("copilotkit_threads", "delete", "--all", "--scope", "nobody") == ("", "")

    @pytest.mark.parametrize("which", [[], ["t1", "--all"]])
    def test_delete__what(self, which):
        """Neither nothing nor everything is deleted by accident."""
        with pytest.raises(CommandError, match="--all"):
            manage("copilotkit_threads", "delete", *which, "--user", "alice")
        assert Thread.objects.count() == 3

    def test_delete__one_of_them_unknown(self):
        """Then none is deleted."""
        with pytest.raises(CommandError, match="There is no thread 't9'"):
            manage("copilotkit_threads", "delete", "t1", "t9", "--user", "alice")
        assert Thread.objects.count() == 3

    @pytest.mark.parametrize("owner", [[], ["--user", "alice", "--scope", "user:1"]])
    def test_owner__required(self, owner):
        """There is no command for the threads of everybody."""
        with pytest.raises(CommandError):
            manage("copilotkit_threads", "list", *owner)

    def test_owner__unknown(self):
        """A misspelt name is not a user without threads."""
        with pytest.raises(CommandError, match="There is no user 'alise'"):
            manage("copilotkit_threads", "delete", "--all", "--user", "alise")

    def test_runner__without_database(self, agents):
        """Threads that are somewhere else are not passed over in silence."""
        runner = "copilotkit_django.runners.InMemoryRunner"
        agents({"default": Parrot()}, RUNNER=runner)

        with pytest.raises(CommandError, match="InMemoryRunner"):
            manage("copilotkit_threads", "list", "--user", "alice")


async def test_delete__live_run(agents):
    """A run that another process has on the thread ends with it."""
    from asgiref.sync import sync_to_async

    runner = DatabaseRunner()
    try:
        staged = Staged()
        reader = await runner.run(request_for(staged))
        await within(staged.waiting.wait())

        out, _ = await sync_to_async(manage, thread_sensitive=False)(
            "copilotkit_threads", "delete", "t1", "--scope", "user:1"
        )
        events = await collect(reader)

        assert out == "1 thread deleted.\n"
        assert events[-1]["code"] == "THREAD_TAKEN"
        assert not await runner.is_running(ThreadRef("user:1", "t1"))
    finally:
        await runner.drain()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 👩‍🚀", "plain é 漢 👩‍🚀"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("a\ud83d", "a\\ud83d"),
        ("a\nb", "a\\nb"),
    ],
)
def test_printable__what_steers(text, shown):
    """Escape sequences, marks that turn text round and halves of characters are written out."""
    assert printable(text) == shown
    assert printable("a\n\tb", lines=True) == "a\n\tb"
