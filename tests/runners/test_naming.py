"""Names for new threads, over every store."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import pytest

from copilotkit_django.agents import Agent, RunContext
from copilotkit_django.notices import thread_changes, thread_news
from copilotkit_django.runners import RunPolicy, ThreadQuery
from copilotkit_django.runners.naming import AT_ONCE, ATTEMPTS, first_words, title_in, transcript
from tests.acting import Event, Failing, Parrot, Staged, ending, opening
from tests.talk import collect, within

from .asking import GRACE, history, request_for, run, start, thread
from .stores import DATABASES

SCOPE = "user:1"


def policy(how: str | None) -> RunPolicy:
    return RunPolicy(stop_grace=GRACE, idle=None, thread_names=how)


async def name_of(runner: Any, thread_id: str = "t1", scope: str = SCOPE) -> str | None:
    for record in await runner.threads.list(scope, ThreadQuery(include_archived=True)):
        if record.thread_id == thread_id:
            return record.name
    return None


async def named(runner: Any, thread_id: str = "t1") -> str:
    """The name of a thread, once it has one."""
    await settled(runner)
    name = await name_of(runner, thread_id)
    assert name is not None
    return name


async def settled(runner: Any) -> None:
    """Wait until no name is looked for any more."""
    async with asyncio.timeout(5):
        while runner.names._tasks:
            await asyncio.wait(set(runner.names._tasks))


class Titler(Agent):
    """Answers what it is told to, when it is asked for a title; otherwise repeats the user."""

    def __init__(self, *titles: str | Exception) -> None:
        self.titles = list(titles)
        #: The runs that asked for one.
        self.asked: list[RunContext] = []
        self.cue = asyncio.Event()
        self.cue.set()
        self.most_at_once = self._at_once = 0

    def clone(self) -> Self:
        return self

    async def run(self, context: RunContext) -> AsyncIterator[Event]:
        text = context.last_user_text
        if context.purpose == "title":
            self.asked.append(context)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                await self.cue.wait()
            finally:
                self._at_once -= 1
            title = self.titles.pop(0) if self.titles else "Too late"
            if isinstance(title, Exception):
                raise title
            text = title
        for event in (*opening(context, text), *ending(context)):
            yield event


async def begin(runner: Any, agent: Any, how: str | None = "agent", **options: Any) -> list[Event]:
    return await run(runner, agent, "What is the capital of Peru?", policy=policy(how), **options)


async def test_first_words__name_the_thread(runner) -> None:
    """The first words of the user are a name that costs nothing."""
    await begin(runner, Parrot(), "first-words")

    assert await named(runner) == "What is the capital of Peru?"


async def test_first_words__superseded(runner) -> None:
    """Where the first run is superseded, the one that takes its place names the thread."""
    superseding = dataclasses.replace(policy("first-words"), supersede=True)
    agents = Staged(), Staged()
    runs = []
    for number, agent in enumerate(agents):
        options = {"run": f"r{number}", "policy": superseding}
        runs.append(await start(runner, agent, text="Hello Peru", **options))
        await within(agent.waiting.wait())
    await within(runs[0])
    await settled(runner)
    assert await name_of(runner) is None
    agents[1].cue.set()
    await within(runs[1])

    assert await named(runner) == "Hello Peru"


async def test_first_words__half_an_emoji(runner) -> None:
    """What no database can hold is left out of the name."""
    await run(runner, Parrot(), "Hello \ud83d Peru", policy=policy("first-words"))

    assert await named(runner) == "Hello Peru"


async def test_agent__names_the_thread(runner) -> None:
    """The agent is asked for a title, on a thread of no further use, with nothing at hand."""
    agent = Titler('{"title": "Capital of Peru"}')

    await begin(runner, agent)

    assert await named(runner) == "Capital of Peru"
    (asked,) = agent.asked
    assert asked.thread_id not in ("", "t1")
    assert asked.input.tools == []
    assert asked.input.context == []
    assert asked.state == {}
    assert asked.scope == SCOPE
    (message,) = asked.messages
    assert "user: What is the capital of Peru?" in message["content"]
    assert "assistant: What is the capital of Peru?" in message["content"]


async def test_agent__leaves_nothing_behind(runner) -> None:
    """What was said to find the name is no part of any thread."""
    agent = Titler("Capital of Peru")
    sent = await begin(runner, agent)
    await named(runner)

    assert len(await history(runner)) <= len(sent)
    assert "title" not in str(await history(runner))
    assert len(await runner.threads.list(SCOPE, ThreadQuery())) == 1


async def test_run__does_not_wait_for_the_name(runner) -> None:
    """The run has ended, and its thread is free for the next, while the name is looked for."""
    agent = Titler("Capital of Peru")
    agent.cue.clear()

    first = await begin(runner, agent)
    second = await begin(runner, agent, run="r2")

    assert first[-1]["type"] == second[-1]["type"] == "RUN_FINISHED"
    assert await name_of(runner) is None
    agent.cue.set()
    assert await named(runner) == "Capital of Peru"
    assert len(agent.asked) == 1


async def test_name__of_the_user_wins(runner) -> None:
    """Who renames the thread while a name is looked for keeps theirs."""
    agent = Titler("Capital of Peru")
    agent.cue.clear()
    await begin(runner, agent)

    await runner.threads.update(thread(), name="Mine")
    agent.cue.set()
    await settled(runner)

    assert await name_of(runner) == "Mine"


async def test_threads__without_the_setting(runner) -> None:
    """Nothing is named, and no agent asked, unless the project wants it."""
    agent = Titler("Capital of Peru")

    await begin(runner, agent, None)
    await settled(runner)

    assert await name_of(runner) is None
    assert agent.asked == []


async def test_later_runs__name_nothing(runner) -> None:
    """A thread that was there before is left as it is."""
    agent = Titler("Capital of Peru")
    await begin(runner, agent, None)

    await begin(runner, agent, run="r2")
    await settled(runner)

    assert await name_of(runner) is None


async def test_answer__of_no_use(runner) -> None:
    """An agent that finds no title in three attempts leaves it to the first words."""
    rambling = "I think that this conversation is about the capital city of Peru in the Andes"
    agent = Titler(*[rambling] * ATTEMPTS, "Too late")

    await begin(runner, agent)

    assert await named(runner) == "What is the capital of Peru?"
    assert len(agent.asked) == ATTEMPTS


async def test_agent__that_fails(runner, caplog) -> None:
    """An agent that fails is asked again; nobody but the log hears of it."""
    agent = Titler(RuntimeError("secret"), "Capital of Peru")

    sent = await begin(runner, agent)

    assert await named(runner) == "Capital of Peru"
    assert "secret" not in str(sent) + str(await history(runner))
    assert "Incident" in caplog.text


async def test_run__that_fails_silently(runner) -> None:
    """A thread that never came to be gets no name."""
    await collect(
        await runner.run(request_for(Failing(0, RuntimeError("no")), "hi", policy=policy("agent")))
    )
    await settled(runner)

    assert await name_of(runner) is None


async def test_drain__gives_up_on_names(make_runner) -> None:
    """A process that ends does not wait for names."""
    runner = make_runner()
    agent = Titler("Capital of Peru")
    agent.cue.clear()
    await begin(runner, agent)
    await within(_until(lambda: bool(agent.asked)))

    await within(runner.drain())
    await settled(runner)

    assert agent.most_at_once == 1
    assert agent._at_once == 0


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.001)


async def test_many__wait_for_their_turn(runner) -> None:
    """However many threads begin at once, a few are named at a time."""
    agent = Titler(*["Capital of Peru"] * 10)
    agent.cue.clear()
    await asyncio.gather(*(begin(runner, agent, thread=f"t{number}") for number in range(10)))
    await within(_until(lambda: len(agent.asked) == AT_ONCE))

    agent.cue.set()
    for number in range(10):
        assert await named(runner, f"t{number}") == "Capital of Peru"
    assert agent.most_at_once == AT_ONCE


async def test_name__is_told(runner) -> None:
    """Whoever watches a list of threads learns of the name."""
    told: list[str] = []
    listener = told.extend
    thread_changes.listen(listener)
    try:
        await begin(runner, Parrot(), "first-words")
        await named(runner)
        await within(_until(lambda: thread_news(thread(), "renamed") in told))
    finally:
        thread_changes.forget(listener)


async def test_store__names_only_what_has_no_name(runner) -> None:
    """Naming is one conditional step, within one scope."""
    await begin(runner, Parrot(), None)

    assert not await runner.threads.name(thread("t9"), "No such")
    assert not await runner.threads.name(thread("t1", "user:2"), "Not theirs")
    assert await runner.threads.name(thread(), "First")
    assert not await runner.threads.name(thread(), "Second")
    assert await name_of(runner) == "First"


@pytest.mark.parametrize("store", DATABASES[:1], indirect=True)
async def test_store__that_is_gone(runner, monkeypatch, caplog) -> None:
    """A store that cannot be reached any more leaves the thread without a name."""

    async def broken(*_: Any) -> bool:
        raise ConnectionError("gone")

    monkeypatch.setattr(runner.threads, "name", broken)

    await begin(runner, Parrot(), "first-words")
    await settled(runner)

    assert "could not be named" in caplog.text
    assert await name_of(runner) is None


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ('{"title": "Capital of Peru"}', "Capital of Peru"),
        ('```json\n{"title": "Capital of Peru"}\n```', "Capital of Peru"),
        ('Sure! {"title": "Capital of Peru."} Anything else?', "Capital of Peru"),
        ("Capital of Peru", "Capital of Peru"),
        ('"Capital of Peru"', "Capital of Peru"),
        ("“Hauptstadt von Peru”", "Hauptstadt von Peru"),
        ("**Capital**  of\n_Peru_!", "Capital of Peru"),
        ("# Capital of Peru", "Capital of Peru"),
        ("<b>Peru</b>", "b Peru /b"),
        ("x" * 100, "x" * 80),
        ("one two three four five six seven eight", "one two three four five six seven eight"),
        ("one two three four five six seven eight nine", ""),
        ('{"title": 7}', ""),
        ('{"name": "x"}', ""),
        ("{broken}", ""),
        ("", ""),
        ("...", ""),
        ("\0", ""),
        ("Peru \ud83d", "Peru"),
    ],
)
def test_title__in_an_answer(answer, title) -> None:
    """A title is found in what models answer, and freed of what does not belong to it."""
    assert title_in(answer) == title


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("Hello", "Hello"),
        ("  Hello\n\n there ", "Hello there"),
        ("one two three four five six seven", "one two three four five six seven"),
        ("one two three four five six seven eight", "one two three four five six seven…"),
        ("y" * 200, "y" * 79 + "…"),
        ([{"type": "text", "text": "Look"}, {"type": "binary"}], "Look"),
        ("Look \ud83d here\0", "Look here"),
        ("", ""),
        ([], ""),
    ],
)
def test_first_words__of_a_message(content, name) -> None:
    """The first words are cut at a word, or where a word has no end."""
    message = {"id": "u", "role": "user", "content": content}

    assert first_words([{"id": "s", "role": "system", "content": "no"}, message]) == name


def test_transcript__is_bounded() -> None:
    """An agent is told the end of a conversation, and not all of a long message."""
    messages = [
        *({"id": f"{n}", "role": "user", "content": f"word{n} " * 1000} for n in range(20)),
        {"id": "t", "role": "tool", "toolCallId": "c", "content": "result"},
        {"id": "a", "role": "assistant", "toolCalls": []},
    ]

    told = transcript(messages)

    assert told.startswith("user: word12")
    assert len(told.splitlines()) == 8
    assert all(len(line) < 1010 for line in told.splitlines())
    assert "result" not in told


def test_policy__is_off() -> None:
    """A policy names no threads unless it says so."""
    assert dataclasses.asdict(RunPolicy())["thread_names"] is None
