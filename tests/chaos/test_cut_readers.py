"""Readers that are cut off anywhere and come back with the last id they saw."""

from __future__ import annotations

import asyncio
import random

import httpx
import pytest

from tests.chaos.streams import STREAM_SECONDS, free_at_last, run_body

LEASE = 4.0


class Cut:
    """A reader that resumes: what it has had, each event with the id that stood before it."""

    def __init__(self, thread):
        self.thread = thread
        self.had = []

    async def read(self, server, *, upto=None):
        """Read on from the last id, to the end or until so many events are there in all."""
        after = self.had[-1][0] if self.had else ""
        url = f"http://127.0.0.1:{server.port}/api/copilotkit/agent/default/connect"
        async with (
            asyncio.timeout(STREAM_SECONDS),
            httpx.AsyncClient(timeout=None) as client,
            client.stream(
                "POST",
                url,
                json=run_body(self.thread, "c", ""),
                headers={"Last-Event-ID": after},
            ) as response,
        ):
            assert response.status_code == 200
            pending = b""
            async for chunk in response.aiter_bytes():
                *blocks, pending = (pending + chunk).split(b"\n\n")
                for block in blocks:
                    if block.startswith(b":"):
                        continue
                    name, _, data = block.rpartition(b"\n")
                    event_id = name.removeprefix(b"id: ").decode() or None
                    self.had.append((event_id, data.removeprefix(b"data: ")))
                    if upto is not None and len(self.had) >= upto:
                        return


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_cut_readers(kind, make_store, servers, talk, rounds, figures):
    """Cut at random places of a live, a fresh and an older run, each gets the rest exactly."""
    store = make_store(kind)
    one, other = await servers.start("uvicorn", "uvicorn", url=store.url, lease=LEASE)
    cuts = rounds(1000, 60)
    for number, script in enumerate(("text:30", "tools", "state")):
        await talk.end(talk.run(one, "t", f"r{number}", script))
    live = talk.run(one, "t", "live", "stamp:300:10")
    await live.until(lambda seen: len(seen.events) > 3)

    async def come_and_go():
        reader = Cut("t")
        for _ in range(random.randint(1, 3)):
            upto = len(reader.had) + random.randint(1, 200)
            await reader.read(random.choice((one, other)), upto=upto)
        await reader.read(random.choice((one, other)))
        return reader

    done = []
    while len(done) < cuts:
        done += await asyncio.gather(*(come_and_go() for _ in range(min(20, cuts - len(done)))))
    await talk.end(live)

    whole = Cut("t")
    await whole.read(one)
    last_of_earlier = whole.had[-1][0].partition(".")[0]
    earlier = [event for event in whole.had if event[0].partition(".")[0] != last_of_earlier]
    for reader in done:
        ids = [event_id for event_id, _ in reader.had]
        assert None not in ids
        assert len(set(ids)) == len(ids)
        assert reader.had[: len(earlier)] == earlier
        assert b"RUN_FINISHED" in reader.had[-1][1]
    raw = [data for _, data in max(done, key=lambda reader: len(reader.had)).had[len(earlier) :]]
    for reader in done:
        said = [data for _, data in reader.had[len(earlier) :]]
        # Those that came while the run was live had it as it was sent, later ones in short.
        assert said == raw or said == [data for _, data in whole.had[len(earlier) :]]
    figures(kind=kind, readers=len(done), events=len(whole.had))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_cut_readers__owner_killed(kind, make_store, servers, talk, rounds, figures):
    """Whoever had more of a lost run than was stored is sent its ending and all later runs."""
    store = make_store(kind)
    [survivor] = await servers.start("uvicorn", url=store.url, lease=LEASE)
    total = rounds(50, 3)
    for number in range(total):
        thread = f"t{number}"
        [victim] = await servers.start("uvicorn", url=store.url, lease=LEASE)
        run = talk.run(victim, thread, "lost", "stamp:100000:2")
        await run.until(lambda seen: len(seen.events) > 3)
        reader = Cut(thread)
        await reader.read(victim, upto=random.randint(5, 150))
        victim.kill()
        await talk.end(run)
        following, _ = await free_at_last(talk, survivor, thread, "next")
        await talk.end(following)

        await reader.read(survivor)

        text = b"\n".join(data for _, data in reader.had)
        assert text.count(b'"RUN_ERROR"') == 1
        assert text.count(b'"RUN_FINISHED"') == 1
        assert b"tok2 " in text
        ids = [event_id for event_id, _ in reader.had]
        assert None not in ids
        assert len(set(ids)) == len(ids)
    figures(kind=kind, rounds=total)
