"""The tables: names, migrations, other databases than the default one, other settings."""

from __future__ import annotations

import io
import time

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections, models

from copilotkit_django.models import Run, Segment, Thread
from copilotkit_django.runners import ThreadQuery
from copilotkit_django.runners.database import DatabaseRunner
from copilotkit_django.runners.store import Store
from tests.acting import Parrot, Staged
from tests.talk import SECONDS, kinds, text_of, within

from .asking import history, run, runs_in, start, thread
from .stores import DATABASES, POOL, SQLITE, made

SHORT_ENOUGH = 30  # Oracle's limit, which Django holds names of ours to.


@pytest.mark.django_db
def test_makemigrations__nothing_to_do():
    """The migrations say what the models say."""
    call_command("makemigrations", "copilotkit", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("model", list(apps.get_app_config("copilotkit").get_models()))
def test_meta__names(model: type[models.Model]):
    """Constraints and indexes are named by us, after the app, so that errors can be told apart."""
    named = [*model._meta.constraints, *model._meta.indexes]

    assert named
    for each in named:
        assert each.name.startswith("copilotkit_")
        assert len(each.name) <= SHORT_ENOUGH
    assert model._meta.verbose_name
    assert str(model._meta.verbose_name_plural)


def test_str__rows():
    """Rows say what they are in the admin and in tracebacks, and nothing of what was said."""
    of = Thread(thread_id="t1", name="Holidays")

    assert str(of) == "t1"
    assert str(Run(thread=of, run_id="r1", position=3)) == "r1 (3)"
    assert str(Segment(first=0, last=7)) == "0-7"


@pytest.mark.parametrize("kind", DATABASES)
def test_migrate__there_and_back(kind, tmp_path, django_db_setup, django_db_blocker):
    """The tables can be made, taken away and made again, on every database."""
    with django_db_blocker.unblock(), made(kind, tmp_path, name="migrations") as alias:
        tables = {model._meta.db_table for model in apps.get_app_config("copilotkit").get_models()}
        assert tables <= set(connections[alias].introspection.table_names())

        call_command("migrate", "copilotkit", "zero", database=alias, verbosity=0)
        assert not tables & set(connections[alias].introspection.table_names())

        call_command("migrate", "copilotkit", database=alias, verbosity=0)
        assert tables <= set(connections[alias].introspection.table_names())


@pytest.mark.parametrize("store", DATABASES, indirect=True)
def test_check__database(store):
    """Django's own checks of a database have nothing to say about the tables."""
    out = io.StringIO()
    call_command("check", "copilotkit", databases=[store], fail_level="WARNING", stdout=out)

    assert "no issues" in out.getvalue()


@pytest.mark.parametrize("store", [POOL], indirect=True)
def test_disconnect__pool_that_is_not_open(store):
    """A pool that is looked after before anybody has used it grows like any other."""
    connections[store].close_pool()

    Store(store).disconnect()

    pool = connections[store].pool
    pool.open()
    taken = [pool.getconn(SECONDS) for _ in range(6)]
    for connection in taken:
        pool.putconn(connection)


class ElsewhereRouter:
    """Keeps what this app stores in a database of its own."""

    alias = ""

    def db_for_read(self, model, **hints):
        return self.alias if model._meta.app_label == "copilotkit" else None

    db_for_write = db_for_read


@pytest.mark.parametrize("store", DATABASES, indirect=True)
class TestRouters:
    @pytest.fixture
    def routed(self, store, settings, monkeypatch):
        monkeypatch.setattr(ElsewhereRouter, "alias", store)
        settings.DATABASE_ROUTERS = [f"{__name__}.ElsewhereRouter"]

    async def test_runner__routed(self, store, routed):
        """The runner asks the routers where its tables are, and needs no other database."""
        runner = DatabaseRunner()
        try:
            assert runner.store.alias == store
            await run(runner, run="r1")
            agent = Staged()
            live = await start(runner, agent, run="r2")
            await within(agent.waiting.wait())
            assert await runner.stop(thread()) is True
            await live

            assert runs_in(await history(runner)) == ["r1", "r2"]
            (record,) = await runner.threads.list("user:1", ThreadQuery())
            assert record.thread_id == "t1"
            assert (await runner.threads.update(thread(), name="x")).name == "x"
            assert await runner.threads.delete(thread()) is True
        finally:
            await runner.drain()

    def test_queries__routed(self, store, routed):
        """Queries of the project's own go there, too."""
        assert Thread.objects.in_scope("user:1").db == store
        assert list(Run.objects.in_history()) == []


@pytest.mark.parametrize("store", [SQLITE, "mariadb", "postgres"], indirect=True)
class TestTimeZones:
    @pytest.fixture(params=["UTC", "America/Los_Angeles", "Asia/Kolkata"])
    def naive(self, request, store, settings, monkeypatch):
        """A project without USE_TZ, in some zone."""
        connections[store].close()
        settings.USE_TZ = False
        settings.TIME_ZONE = request.param
        for name in ("timezone", "timezone_name"):
            connections[store].__dict__.pop(name, None)
        yield
        connections[store].close()
        settings.USE_TZ = True
        for name in ("timezone", "timezone_name"):
            connections[store].__dict__.pop(name, None)

    async def test_runner__without_use_tz(self, naive, make_runner, monkeypatch):
        """Runs, requests sent twice, lists, pages and sweeps work without aware times."""
        runner = make_runner(resume_seconds=3600)
        first = await run(runner)
        again = await run(runner, Parrot())
        for name in ("t2", "t3"):
            await run(runner, thread=name)
        await runner.sweep()

        assert kinds(again) == kinds(first)
        assert runs_in(await history(runner)) == ["r1"]
        (newest,) = await runner.threads.list("user:1", ThreadQuery(limit=1))
        after = (newest.last_run, newest.thread_id)
        rest = await runner.threads.list("user:1", ThreadQuery(after=after))
        assert [record.thread_id for record in (newest, *rest)] == ["t3", "t2", "t1"]
        assert abs(newest.last_run - time.time()) < 60
        segments = Segment.objects.using(runner.store.alias)
        # Of each run there is one row or more, as its events happened to be written.
        runs = segments.values("run").distinct()
        assert await runner.read(runs.count) == 3
        monkeypatch.setattr("copilotkit_django.runners.upkeep.SETTLE_SECONDS", 0)
        runner.resume_seconds = 0
        await runner.sweep()
        assert await runner.read(segments.count) == 0
        assert text_of(await history(runner)) == "hi"


def test_querysets__runs_in_history():
    """Runs that were superseded are no part of the conversation."""
    assert "superseded" in str(Run.objects.in_history().query)
