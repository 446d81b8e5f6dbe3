"""The line an operator gets for each run, and what announcing costs where nobody listens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest

from copilotkit_django.runners import InMemoryRunner, RunTask
from copilotkit_django.runners.tokens import tokens_in
from copilotkit_django.signals import run_finished
from tests.acting import Failing, Parrot, ending, opening
from tests.talk import collect, within

from .requests import request_for


@pytest.fixture
def lines(caplog) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="copilotkit.run"):
        yield caplog


async def run(agent, **options) -> None:
    runner = InMemoryRunner()
    task = RunTask(request_for(agent, **options), runner=runner)
    task.start()
    await collect(task.log.read())
    assert await task.wait(5)


async def test_log__one_line_a_run(lines):
    """It tells which run, what became of it, how long it took and what it used."""

    async def agent(context):
        for event in opening(context):
            yield event
        said, _ = ending(context)
        yield said
        yield context.finished(usage=[{"inputTokens": 3, "outputTokens": 4}])

    await run(agent)

    (record,) = lines.records
    assert record.levelname == "INFO"
    assert (record.thread_id, record.run_id, record.agent_id) == ("t1", "r1", "default")
    assert (record.outcome, record.tokens) == ("finished", 7)
    assert record.ms >= 0


async def test_log__failed_run(lines):
    """A failed run has its line, too."""
    await run(Failing(2, ValueError("broken")))

    assert [r.outcome for r in lines.records if r.levelname == "INFO"] == ["failed"]


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"inputTokens": 5, "totalTokens": None}, [{"inputTokens": 5}]),
        ({"totalTokens": Decimal(5)}, []),
        (7, []),
    ],
)
async def test_end__odd_usage_of_a_failed_run(lines, usage, told):
    """An agent that has kept no proper account of itself is a failed run like others."""
    finished = []

    async def agent(context):
        yield context.started()
        context.usage.append(usage)
        raise ValueError("broken")

    def receiver(**facts):
        finished.append(facts)

    run_finished.connect(receiver)
    try:
        await run(agent)
    finally:
        run_finished.disconnect(receiver)

    assert [each["usage"] for each in finished] == [told]
    assert [r.outcome for r in lines.records if r.levelname == "INFO"] == ["failed"]


async def test_log__no_content(lines):
    """Neither what was said nor ids of the client's choice stand in the text."""
    await run(Parrot(), text="my secret", run="r1\nforged line")

    (record,) = lines.records
    assert "secret" not in str(record.__dict__)
    assert "forged" not in record.getMessage()


async def test_log__suggestions(lines):
    """What belongs to no thread is told to nobody."""
    task = RunTask(request_for(Parrot()))
    task.start()
    await within(task.wait(5))

    assert lines.records == []


async def test_signals__nobody_listens(monkeypatch):
    """Then there is nothing to send."""
    monkeypatch.setattr(run_finished, "asend_robust", None)

    await run(Parrot())


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ([], 0),
        ([{"provider": "x"}], 0),
        ([{"inputTokens": 1}, {"outputTokens": 2}], 3),
        ([{"inputTokens": 1, "outputTokens": 2, "totalTokens": 5}], 5),
    ],
)
def test_tokens__of_reports(usage, tokens):
    """The total an entry names wins over the sum of its parts."""
    assert tokens_in(usage) == tokens
