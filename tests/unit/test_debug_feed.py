"""What the debug feed tells of the events that pass."""

from __future__ import annotations

import json

from copilotkit_django.debug_feed import DebugFeed
from copilotkit_django.runners.log import Batch
from tests.talk import within


def batch(*events):
    return Batch([json.dumps(event).encode() for event in events])


async def stream(*batches):
    for each in batches:
        yield each


def start(thread, run):
    return {"type": "RUN_STARTED", "threadId": thread, "runId": run}


async def test_overhear__history_of_several_runs():
    """Each event goes by the ids of the run it is of."""
    feed = DebugFeed()
    listening = feed.listen(0.001)
    assert await within(anext(listening)) == []
    text = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": '"RUN_STARTED"'}
    sent = [
        batch({"type": "CUSTOM", "name": "early", "value": 1}, start("t1", "r1"), text),
        batch(text, start("t1", "r2")),
        batch(text),
    ]

    passed = [each async for each in feed.overhear(stream(*sent), "default", "t1", "c1")]
    told = [json.loads(each) for each in await within(anext(listening))]

    assert passed == sent
    assert [each["runId"] for each in told] == ["c1", "r1", "r1", "r1", "r2", "r2"]
    assert {each["agentId"] for each in told} == {"default"}
    assert [each["event"] for each in told] == [json.loads(e) for b in sent for e in b]
    await listening.aclose()
