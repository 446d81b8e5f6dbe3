"""What is to be run now and then, as somebody's cron does it."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from copilotkit_django.models import Run, Thread
from copilotkit_django.runners import ThreadRef
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.runners.leases import log_of
from tests.acting import Parrot, Staged
from tests.talk import collect, within
from tests.unit.runners.requests import request_for

pytestmark = pytest.mark.django_db(transaction=True)

OLD = timedelta(days=40)


def manage(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.fixture(autouse=True)
def configure(settings) -> Any:
    def configure(**options: Any) -> None:
        settings.COPILOTKIT = {"AGENTS": {"default": Parrot()}, **options}

    configure()
    return configure


@pytest.fixture
async def runner():
    """Another process of the site."""
    runner = DatabaseRunner()
    yield runner
    await runner.drain()


@pytest.fixture
async def live(runner):
    """An agent of that process in the middle of its answer, and who reads it."""
    staged = Staged()
    reader = await runner.run(request_for(staged))
    await within(staged.waiting.wait())
    return staged, reader


async def die(runner: DatabaseRunner) -> None:
    """Leave the runs of a runner as a process that was killed leaves them, its leases long over."""
    runner.upkeep.cancel()
    for task in runner.leases.live.values():
        runner.leases.give_up(log_of(task))
    await runner.write(runner.leases.end_now)


class TestPrune:
    @pytest.fixture
    def threads(self):
        """Three threads: two of them nobody has touched for 40 days."""

        async def talk() -> None:
            runner = DatabaseRunner()
            try:
                for thread_id in ("old-1", "old-2", "new"):
                    request = request_for(Parrot(), thread=thread_id, run=f"run of {thread_id}")
                    await collect(await runner.run(request))
            finally:
                await runner.drain()

        async_to_sync(talk)()
        old = Thread.objects.filter(thread_id__startswith="old")
        assert old.update(updated_at=timezone.now() - OLD) == 2

    @pytest.mark.parametrize("size", ["1", "100"])
    def test_prune__untouched_threads(self, threads, size):
        """They go with all their rows, in batches of any size; the others stay."""
        said = manage("copilotkit_prune", "--days", "30", "--batch-size", size)

        assert said == "2 threads deleted.\n"
        assert Thread.objects.get().thread_id == "new"
        assert Run.objects.get().run_id == "run of new"
        assert manage("copilotkit_prune", "--days", "30") == ""

    def test_prune__dry_run(self, threads):
        """Nothing happens, but how much would is said."""
        said = manage("copilotkit_prune", "--days", "30", "--dry-run")

        assert said == "2 threads would be deleted.\n"
        assert Thread.objects.count() == 3

    def test_prune__days_of_the_settings(self, threads, configure):
        """RETENTION_DAYS is what is meant where nothing else is said."""
        configure(RETENTION_DAYS=50)
        assert manage("copilotkit_prune") == ""

        configure(RETENTION_DAYS=30)
        assert manage("copilotkit_prune") == "2 threads deleted.\n"

    def test_prune__everything(self, threads):
        """0 days is all there is."""
        assert manage("copilotkit_prune", "--days", "0") == "3 threads deleted.\n"
        assert not Run.objects.exists()

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ([], "--days"),
            (["--days", "-1"], "negative"),
            (["--days", "1", "--batch-size", "0"], "at least 1"),
        ],
    )
    def test_prune__what_cannot_be_meant(self, threads, arguments, problem):
        """Nothing is deleted that nobody has named."""
        with pytest.raises(CommandError, match=problem):
            manage("copilotkit_prune", *arguments)
        assert Thread.objects.count() == 3

    def test_prune__misspelt_setting(self, threads, configure):
        """Says what is wrong with the settings, and deletes nothing."""
        configure(RETENTION_DAY=1)

        with pytest.raises(CommandError, match="RETENTION_DAYS"):
            manage("copilotkit_prune", "--days", "0")
        assert Thread.objects.count() == 3

    async def test_prune__live_run(self, live):
        """A thread something runs on is not deleted, however long ago it began."""
        await Thread.objects.aupdate(updated_at=timezone.now() - OLD)

        said = await sync_to_async(manage, thread_sensitive=False)("copilotkit_prune", "--days=1")

        assert said == ""
        staged, reader = live
        staged.cue.set()
        assert (await collect(reader))[-1]["type"] == "RUN_FINISHED"


class TestReap:
    async def test_reap__process_that_is_gone(self, runner, live):
        """Its run is ended, and the thread is free again."""
        await die(runner)
        reap = sync_to_async(manage, thread_sensitive=False)

        assert await reap("copilotkit_reap", "--dry-run") == "1 run would be ended.\n"
        assert await runner.is_running(ThreadRef("user:1", "t1"))

        assert await reap("copilotkit_reap") == "1 run ended.\n"
        assert (await Run.objects.aget()).status == Run.Status.LOST
        assert (await Thread.objects.aget()).holder == ""
        assert await reap("copilotkit_reap") == ""

    async def test_reap__more_than_one_look(self, runner, live, monkeypatch):
        """All of them, however many are looked up at a time."""
        monkeypatch.setattr("copilotkit_django.runners.database.REAP_AT_ONCE", 1)
        for number in range(2):
            await runner.run(request_for(live[0], thread=f"further-{number}"))
        await die(runner)
        reap = sync_to_async(manage, thread_sensitive=False)

        assert await reap("copilotkit_reap") == "3 runs ended.\n"

    async def test_reap__process_that_lives(self, live):
        """It keeps its run."""
        reap = sync_to_async(manage, thread_sensitive=False)

        assert await reap("copilotkit_reap", "--dry-run") == "0 runs would be ended.\n"
        assert await reap("copilotkit_reap") == ""

        staged, reader = live
        staged.cue.set()
        assert (await collect(reader))[-1]["type"] == "RUN_FINISHED"
