"""`kill -9` of a process that is giving the threads of a visitor to the user who signed in."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.chaos.merge import THREADS, USER, VISITOR
from tests.chaos.servers import ROOT, START_SECONDS


def merging(url: str, task: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.chaos.merge", url, task]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finish(url: str, task: str) -> str:
    process = merging(url, task)
    said, _ = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0
    return said.strip()


def until_it_stops(process: subprocess.Popen[str]) -> str:
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        return process.stdout.readline().strip()
    finally:
        watchdog.cancel()


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_killed_merge(kind, make_store, figures):
    """Wherever it is killed, none of the threads have changed hands, and the next one moves all."""
    store = make_store(kind)
    finish(store.url, "prepare")

    def owned(scope: str) -> list[tuple[str, str]]:
        return list(
            store.rows(
                "SELECT t.thread_id, r.run_id FROM copilotkit_thread t "
                "JOIN copilotkit_run r ON r.thread_id=t.id WHERE t.scope=%s ORDER BY t.id",
                scope,
            )
        )

    visitors, users = owned(VISITOR), owned(USER)
    assert (len(visitors), len(users)) == (THREADS, 5)
    for point in ("lock", "half", "all"):
        process = merging(store.url, point)
        try:
            assert until_it_stops(process) == point
            assert owned(VISITOR) == visitors
        finally:
            process.kill()
            process.communicate(timeout=START_SECONDS)

        assert owned(VISITOR) == visitors
        assert owned(USER) == users

    assert finish(store.url, "merge") == str(THREADS)

    assert owned(VISITOR) == []
    found = owned(USER)
    assert sorted(run for _, run in found) == sorted(run for _, run in [*visitors, *users])
    # The names that were taken still are those of the user's own threads.
    assert set(users) <= set(found)
    assert len({thread for thread, _ in found}) == THREADS + 5
    figures(threads=THREADS, killed_at=["lock", "half", "all"], halfway_states=0)
