"""One writer, many readers: the log of a live run."""

from __future__ import annotations

import asyncio

import pytest

from copilotkit_django.runners import RunLog
from copilotkit_django.runners.log import MAX_BATCH
from tests.talk import until, within


def numbered(count, start=0):
    return [str(number).encode() for number in range(start, start + count)]


async def everything(reader):
    return [event async for batch in reader for event in batch]


async def test_read__late_join():
    """Who comes late gets everything since the beginning."""
    log = RunLog()
    for event in numbered(3):
        log.append(event)
    log.close()

    assert await within(everything(log.read())) == numbered(3)


async def test_read__after():
    """A cursor leaves out what its reader has already."""
    log = RunLog()
    for event in numbered(5):
        log.append(event)
    log.close()

    assert await within(everything(log.read(3))) == numbered(2, 3)


async def test_read__ready_events_at_once():
    """What is ready goes out in one batch, without waiting for more."""
    log = RunLog()
    for event in numbered(7):
        log.append(event)

    assert await within(anext(log.read())) == numbered(7)


async def test_read__large_backlog():
    """A backlog is given out in pieces that a slow client can be sent."""
    log = RunLog()
    for event in numbered(2 * MAX_BATCH + 1):
        log.append(event)
    log.close()

    batches = [batch async for batch in log.read()]

    assert [len(batch) for batch in batches] == [MAX_BATCH, MAX_BATCH, 1]
    assert [event for batch in batches for event in batch] == numbered(2 * MAX_BATCH + 1)


async def test_read__live():
    """A reader that waits is woken by each event, and ends with the log."""
    log = RunLog()
    reading = asyncio.create_task(everything(log.read()))
    for event in numbered(3):
        await asyncio.sleep(0)
        log.append(event)
    log.close()

    assert await within(reading) == numbered(3)


async def test_read__closed_and_empty():
    """The log of a run that said nothing just ends."""
    log = RunLog()
    log.close()

    assert await within(everything(log.read())) == []


async def test_read__many_readers():
    """Each reader has a cursor of its own; none of them loses or doubles an event."""
    log = RunLog()
    readings = []
    for event in numbered(200):
        readings.append(asyncio.create_task(everything(log.read())))
        log.append(event)
        if int(event) % 7 == 0:
            await asyncio.sleep(0)
    log.close()

    assert await within(asyncio.gather(*readings)) == [numbered(200)] * 200


async def test_read__slow_reader():
    """A reader that takes its time holds up neither the writer nor the other readers."""
    log = RunLog()
    slow = log.read()
    log.append(b"0")
    first = await within(anext(slow))
    for event in numbered(99, 1):
        log.append(event)
    log.close()

    quick = await within(everything(log.read()))
    rest = await within(everything(slow))

    assert quick == numbered(100)
    assert first + rest == numbered(100)


@pytest.mark.parametrize("count", [1, 3])
async def test_read__idle(count):
    """After a silence an empty batch says that the run is alive; the next event still comes."""
    log = RunLog()
    reader = log.read(idle=0.001)
    for _ in range(count):
        assert await within(anext(reader)) == []

    log.append(b"0")

    assert await within(anext(reader)) == [b"0"]
    await reader.aclose()


async def test_read__never_idle():
    """Without an idle time silence lasts as long as it lasts."""
    log = RunLog()
    waiting = asyncio.ensure_future(anext(log.read()))

    done, _ = await asyncio.wait({waiting}, timeout=0.02)

    assert not done
    log.append(b"0")
    assert await within(waiting) == [b"0"]


async def test_read__reader_goes_away():
    """A reader that leaves while it waits is forgotten by the log."""
    log = RunLog()
    waiting = asyncio.create_task(everything(log.read(idle=60)))
    await until(lambda: bool(log._waiting))

    waiting.cancel()
    await within(asyncio.wait({waiting}))

    assert not log._waiting
    log.append(b"0")


async def test_read__consumer_that_never_waits():
    """A consumer that takes a backlog without ever waiting leaves turns to everybody else."""
    log = RunLog()
    for event in numbered(20 * MAX_BATCH):
        log.append(event)
    log.close()
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    await within(everything(log.read()))
    other.cancel()

    # One between any two batches.
    assert turns >= 19
