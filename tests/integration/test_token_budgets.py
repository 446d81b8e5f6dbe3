"""How many tokens an owner may use: told before a run begins, counted when it ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from copilotkit_django.runners import InMemoryRunner
from copilotkit_django.runners.database import DatabaseRunner
from tests.talk import kinds, run_input

from .test_run_limits import on_thread

pytestmark = pytest.mark.django_db(transaction=True)

#: Nobody sees the end of such a window.
LONG = "3650d"


@pytest.fixture(params=[InMemoryRunner, DatabaseRunner])
def runner(request) -> Any:
    return request.param()


def costing(tokens: int, *, fails: bool = False) -> Any:
    async def agent(context):
        yield context.started()
        end = {"type": "RUN_ERROR", "message": "no"} if fails else context.finished()
        yield {**end, "usage": [{"inputTokens": tokens - 1, "outputTokens": 1}]}

    return agent


async def test_budget__spent(serve, alice, bob, runner):
    """Whoever has used what they may is refused the next run; others are not."""
    serve(agents={"default": costing(60)}, runner=runner, token_budgets=f"100/{LONG}")

    for number in range(2):
        assert (await alice.run(on_thread(number))).status == 200
    refused = await alice.run(on_thread(2))

    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) > 60
    assert refused.data["error"] == "token_budget_spent"
    assert refused.data["message"].startswith("You have used the 100 tokens you may use for now.")
    assert (await bob.run(on_thread(0))).status == 200


async def test_budget__refused_leaves_nothing(serve, alice, runner):
    """A run that is refused has not been: no thread, no place taken, and reading goes on."""
    serve(
        agents={"default": costing(1)},
        runner=runner,
        token_budgets=f"1/{LONG}",
        concurrent_runs_per_owner=1,
    )
    await alice.run(on_thread(0))

    for number in range(1, 4):
        assert (await alice.run(on_thread(number))).data["error"] == "token_budget_spent"

    threads = (await alice.ask("GET", "/threads")).data["threads"]
    assert [thread["id"] for thread in threads] == ["t0"]
    assert kinds((await alice.connect(on_thread(0))).events)[-1] == "RUN_FINISHED"


async def test_budget__deleted_thread(serve, alice, runner):
    """Deleting what one has said buys nothing back."""
    serve(agents={"default": costing(5)}, runner=runner, token_budgets=f"5/{LONG}")
    await alice.run(run_input())

    assert (await alice.ask("POST", "/threads/clear", {})).status == 204

    assert (await alice.run(run_input(run="r2"))).status == 429


async def test_budget__failed_run(serve, alice, runner):
    """What a failed run reports counts as well."""
    serve(agents={"default": costing(5, fails=True)}, runner=runner, token_budgets=f"5/{LONG}")

    assert kinds((await alice.run(on_thread(0))).events)[-1] == "RUN_ERROR"
    assert (await alice.run(on_thread(1))).status == 429


async def test_budget__suggestions(serve, alice, runner):
    """Suggestions cost tokens, and are refused like runs, though nothing of them is kept."""
    serve(agents={"default": costing(5)}, runner=runner, token_budgets=f"10/{LONG}")

    for _ in range(2):
        assert (await alice.ask("POST", "/agent/default/suggest", run_input())).status == 200

    assert (await alice.ask("POST", "/agent/default/suggest", run_input())).status == 429
    assert (await alice.run(run_input())).status == 429


async def test_budget__over_processes(serve, alice):
    """The database tells: another process counts what this one has."""
    options = {"agents": {"default": costing(5)}, "token_budgets": f"5/{LONG}"}
    serve(runner=DatabaseRunner(), **options)
    assert (await alice.run(on_thread(0))).status == 200

    serve(runner=DatabaseRunner(), **options)

    assert (await alice.run(on_thread(1))).status == 429


async def test_budget__at_once(serve, alice, runner):
    """Runs that were started before the budget was spent go on, and all of them count."""
    serve(agents={"default": costing(5)}, runner=runner, token_budgets=f"20/{LONG}")

    await asyncio.gather(*(alice.run(on_thread(number)) for number in range(6)))

    assert (await alice.run(on_thread(9))).status == 429


async def test_budget__in_envelope(serve, alice):
    """It counts however a run is asked for."""
    serve(agents={"default": costing(5)}, token_budgets=f"5/{LONG}")
    envelope = {"method": "agent/run", "params": {"agentId": "default"}, "body": run_input()}
    assert (await alice.ask("POST", "", envelope)).status == 200

    assert (await alice.ask("POST", "", envelope)).status == 429


@pytest.mark.parametrize("is_async", [True, False])
async def test_budget__by_plan(serve, alice, is_async):
    """A callable is asked with the request and the user; None is no limit."""

    def by_plan(request, user):
        assert user.plan
        return None if request.headers.get("x-plan") == "gold" else [f"5/{LONG}", "100/7300d"]

    async def later(request, user):
        return by_plan(request, user)

    user = SimpleNamespace(pk=7, plan="free", is_authenticated=True)
    serve(
        agents={"default": costing(5)},
        authentication=lambda request: (user, "user:7"),
        token_budgets=later if is_async else by_plan,
    )
    await alice.run(on_thread(0))

    assert (await alice.run(on_thread(1))).status == 429
    assert (await alice.run(on_thread(1), x_plan="gold")).status == 200


async def test_budget__nonsense(serve, alice, caplog):
    """A callable that returns what is no budget starts no run, and the log says why."""
    serve(agents={"default": costing(5)}, token_budgets=lambda request, user: "many")

    answer = await alice.run(run_input())

    assert answer.status == 500
    assert "'many' is no budget" in caplog.text


async def test_budget__none(serve, alice, runner):
    """Without one nothing is counted."""
    serve(agents={"default": costing(10**9)}, runner=runner)

    for number in range(3):
        assert (await alice.run(on_thread(number))).status == 200
