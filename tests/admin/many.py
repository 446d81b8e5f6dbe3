"""Very many threads, and a run of very many events, as a site has them after a year."""

from __future__ import annotations

import json
from datetime import timedelta

from django.utils import timezone

from copilotkit_django.keys import digest_of, thread_key
from copilotkit_django.models import Run, Segment, Thread
from copilotkit_django.runners.store import lines

from . import rows

#: The thread with the long run.
LONG = "ffffffff-0000-4000-8000-ffffffffffff"

AGENTS = ("default", "researcher", "writer", "todo", "support", "billing", "almanac")


def id_of(number: int) -> str:
    """The id of one of many threads, in the form clients give them."""
    return f"{number * 2_654_435_761 % 2**32:08x}-0000-4000-8000-{number:012x}"


def many_threads(count: int) -> None:
    """So many threads of a thousand owners, each a minute older than the one before."""
    now = timezone.now()
    Thread.objects.bulk_create(
        (
            Thread(
                scope=f"user:{number % 1000}",
                scope_key=digest_of(f"user:{number % 1000}"),
                thread_id=id_of(number),
                key=thread_key(f"user:{number % 1000}", id_of(number)),
                agent_id=AGENTS[number % len(AGENTS)],
                name=f"About {number}",
                archived=number % 11 == 0,
                fence=1,
                created_at=now,
                updated_at=now - timedelta(minutes=number),
                last_run_at=now - timedelta(minutes=number),
            )
            for number in range(count)
        ),
        batch_size=5000,
    )


def long_run(count: int, *, is_live: bool = False) -> Run:
    """A run of so many events: text, and tool calls among it."""
    events = [rows.started("r1", {"id": "u1", "role": "user", "content": "Tell me everything."})]
    number = 0
    while len(events) < count - 10:
        number += 1
        events += [
            *rows.text(f"a{number}", f"Chapter {number}. A few words about it. ")[:2],
            *[
                {"type": "TEXT_MESSAGE_CONTENT", "messageId": f"a{number}", "delta": "And more. "}
                for _ in range(20)
            ],
            rows.text(f"a{number}", "")[2],
        ]
        arguments = json.dumps({"chapter": number, "about": "something that has to be looked up"})
        events += rows.call(f"c{number}", "look_up", arguments, f"a{number}", '{"found": true}')
    events += [rows.finished("r1")]
    thread = rows.a_thread(LONG, name="Everything there is to say", agent_id="default")
    run = rows.a_run(thread, events, event_count=len(events))
    Segment.objects.bulk_create(
        Segment(run=run, first=first, last=first + len(piece) - 1, data=lines(piece))
        for first in range(0, len(events), 25)
        if (piece := events[first : first + 25])
    )
    if is_live:
        Run.objects.filter(pk=run.pk).update(compacted=None, status="running", ended_at=None)
    return run
