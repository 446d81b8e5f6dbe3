"""Tokens counted by owner and window, on every store."""

from __future__ import annotations

import asyncio
import time

import pytest

from copilotkit_django.budgets import Budget, Window
from copilotkit_django.exceptions import BudgetSpent
from copilotkit_django.models import TokenCount
from copilotkit_django.runners.tokens import FORGET_AT, Account, MemoryTokens
from tests.talk import collect, kinds

from .asking import history, request_for, run
from .stores import DATABASES, MEMORY

HOUR, DAY = Window(3600, 4_000_000_000), Window(86_400, 4_000_000_000)


def reporting(*usage):
    async def agent(context):
        yield context.started()
        yield {**context.finished(), "usage": list(usage)}

    return agent


async def test_counts(runner):
    """They are counted by owner and by window."""
    tokens = runner.tokens
    await tokens.add("ada", [HOUR, DAY], 5)
    await tokens.add("ada", [DAY], 7)
    await tokens.add("bob", [HOUR], 100)

    assert await tokens.used("ada", [HOUR, DAY]) == [5, 12]
    assert await tokens.used("bob", [DAY, HOUR]) == [0, 100]
    assert await tokens.used("eve", [HOUR]) == [0]


async def test_counts__side_by_side(runner, elsewhere, store):
    """None are lost where many are counted at once, by several processes."""
    both = [runner, runner if store == MEMORY else elsewhere]

    await asyncio.gather(
        *(both[n % 2].tokens.add(f"owner{n % 3}", [DAY, HOUR], n) for n in range(60))
    )

    for number in range(3):
        expected = sum(range(number, 60, 3))
        assert await both[1].tokens.used(f"owner{number}", [HOUR, DAY]) == [expected] * 2


async def test_counts__large(runner):
    """They are not bounded by 32 bits."""
    await runner.tokens.add("ada", [DAY], 2**40)
    await runner.tokens.add("ada", [DAY], 2**40)

    assert await runner.tokens.used("ada", [DAY]) == [2**41]


async def test_run__charged(runner, elsewhere, store):
    """When its reader has the end of a run, its tokens are counted, for every process."""
    account = Account(runner.tokens, "ada", [Budget(15, 30 * 86_400)])
    agent = reporting({"inputTokens": 2, "outputTokens": 3}, {"totalTokens": 10})
    other = runner if store == MEMORY else elsewhere

    await account.refuse_spent()
    request = request_for(agent)
    request.account = account
    reader = await runner.run(request)
    async for _ in reader:
        pass

    with pytest.raises(BudgetSpent):
        await Account(other.tokens, "ada", [Budget(15, 30 * 86_400)]).refuse_spent()
    await Account(other.tokens, "ada", [Budget(16, 30 * 86_400)]).refuse_spent()


@pytest.mark.parametrize("store", DATABASES, indirect=True)
async def test_sweep__windows_that_are_over(make_runner, store):
    """Counts of windows that are over are deleted, others are not."""
    runner = make_runner()
    await run(runner)
    now = int(time.time())
    await runner.tokens.add("ada", [Window(1, now - 10), Window(3600, now + 1000)], 5)

    await runner.upkeep.sweep()

    counts = TokenCount.objects.using(store).values_list("period", flat=True)
    assert await runner.read(list, counts) == [3600]


async def test_memory__bounded():
    """What one process counts does not grow with every window there has been."""
    tokens = MemoryTokens()

    for number in range(5 * FORGET_AT):
        await tokens.add("ada", [Window(1, number)], 1)

    assert len(tokens) < FORGET_AT


class TestAccount:
    async def test_spent__longest_wait(self):
        """Of several budgets that are spent the one says when that is over last."""
        tokens = MemoryTokens()
        account = Account(tokens, "ada", [Budget(10, 60), Budget(20, 365 * 86_400)])
        await account.charge([{"totalTokens": 25}])

        with pytest.raises(BudgetSpent) as caught:
            await account.refuse_spent()

        assert int(caught.value.headers["Retry-After"]) > 60

    async def test_charge__nothing(self):
        """A run that reports nothing costs nothing."""
        tokens = MemoryTokens()

        await Account(tokens, "ada", [Budget(1, 60)]).charge([])

        assert len(tokens) == 0

    async def test_charge__fails(self, caplog):
        """What cannot be counted is said in the log, and the run ends as it does."""

        class Broken(MemoryTokens):
            async def add(self, *args):
                raise OSError("gone")

        await Account(Broken(), "ada", [Budget(1, 60)]).charge([{"totalTokens": 7}])

        assert "7 tokens of a run could not be counted" in caplog.text


async def test_run__charged_for_what_it_broke_off(runner, caplog):
    """A run that fails is charged what its agent has noted so far, and stored whatever that is."""

    async def agent(context):
        yield context.started()
        context.usage.append({"inputTokens": 5, "totalTokens": None})
        if context.run_id == "r2":
            context.usage.append({"totalTokens": "many"})
        raise ValueError("broken")

    account = Account(runner.tokens, "ada", [Budget(6, 86_400)])
    for number in (1, 2):
        request = request_for(agent, run=f"r{number}", thread=f"t{number}")
        request.account = account
        events = await collect(await runner.run(request))
        assert kinds(await history(runner, f"t{number}")) == kinds(events)

    await account.refuse_spent()
    with pytest.raises(BudgetSpent):
        await Account(runner.tokens, "ada", [Budget(5, 86_400)]).refuse_spent()
    assert "is left out: usage[1].totalTokens must be a whole number." in caplog.text


async def test_run__charged_with_nonsense(runner):
    """An agent that reports more than can be counted spoils no other run, nor its own."""
    agent = reporting(*[{"totalTokens": 2**53 - 1}] * 1100)
    account = Account(runner.tokens, "ada", [Budget(5, 86_400)])

    async def charged(number):
        request = request_for(agent, thread=f"t{number}")
        request.account = account
        return await collect(await runner.run(request))

    runs = await asyncio.gather(
        *map(charged, range(3)), *(run(runner, thread=f"o{number}") for number in range(7))
    )

    assert [kinds(events)[-1] for events in runs] == ["RUN_FINISHED"] * 10
    with pytest.raises(BudgetSpent):
        await account.refuse_spent()
