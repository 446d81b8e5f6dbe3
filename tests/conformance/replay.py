"""Replay the recorded cases against a running server and report what differs.

    python -m tests.conformance.replay --map '{"multi": 4000, "single": 4001}' [--only REGEX]
        [--extra] [-v]

The map names one local port per profile; cases of other profiles are skipped. Cases in which
the reference does something questionable (`peer_quirk`) and those in intended.json are counted
apart when they differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .case import CASES, EXTRA_CASES, Case, load_cases
from .client import Exchange, fetch
from .compare import differences
from .transcript import normalise, transcribe

CLEAR = "/api/copilotkit/threads/clear"
#: The profile whose store is emptied before every case, besides the case's own.
MAIN_PROFILE = "multi"

STEP_SECONDS = 30
CASE_SECONDS = 40
#: Callbacks may run after the response, and are waited for.
CALLS_SECONDS = 20
POLL_SECONDS = 0.02
#: What comes within so long after them is one too many.
AFTER_SECONDS = 0.15
HOOK_SECONDS = 0.05

OUTCOMES = ("same", "quirk_differs", "intended", "differs", "skipped")


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    outcome: str
    differences: tuple[str, ...] = ()


async def replay(cases: Iterable[Case], ports: Mapping[str, int]) -> list[Result]:
    """Replay `cases` one after the other: they share the server's store."""
    return [await judge(case, ports) for case in cases]


async def judge(case: Case, ports: Mapping[str, int]) -> Result:
    if case.profile not in ports:
        return Result(case, "skipped")
    try:
        found = tuple(differences(case, await run(case, ports)))
    except Exception as error:  # a server that breaks one case must not hide the others
        found = (f"exception {type(error).__name__}: {error}",)
    if not found:
        return Result(case, "same")
    if case.peer_quirk is not None:
        return Result(case, "quirk_differs", found)
    return Result(case, "intended" if case.intended is not None else "differs", found)


async def run(case: Case, ports: Mapping[str, int]) -> dict[str, Any]:
    """Send the requests of a case as it says and return what came back, as it is recorded."""
    port = ports[case.profile]
    for each in {ports.get(MAIN_PROFILE, port), port}:
        await fetch(each, CLEAR, "POST")
    await fetch(port, "/__after")
    await fetch(port, "/__hooks")

    exchanges = [Exchange(each, ports[each.profile or case.profile]) for each in case.requests]
    async with asyncio.timeout(CASE_SECONDS + STEP_SECONDS), asyncio.TaskGroup() as group:
        for exchange in exchanges:
            start = exchange.request.start
            if start.after_request is not None:
                async with asyncio.timeout(STEP_SECONDS):
                    await exchanges[start.after_request].reached(start.events)
            if exchange.request.delay_seconds and start.after_request is None:
                # Whoever is to hear of what follows listens by now.
                async with asyncio.timeout(STEP_SECONDS):
                    await exchanges[0].begun()
            await asyncio.sleep(exchange.request.delay_seconds)
            group.create_task(exchange.send())

    found: dict[str, Any] = {"responses": [transcribe(exchange) for exchange in exchanges]}
    # What may differ may be less, too.
    is_sure = case.peer_quirk is None and case.intended is None
    if case.after_middleware_calls is not None:
        wanted = len(case.after_middleware_calls) if is_sure else 0
        calls = await recorded(port, "/__after", wanted, AFTER_SECONDS)
        found["after_middleware_calls"] = normalise(calls)
    if case.hook_calls is not None:
        wanted = len(case.hook_calls) if is_sure else 0
        calls = await recorded(port, "/__hooks", wanted, HOOK_SECONDS)
        found["hook_calls"] = normalise(calls)
    return found


async def recorded(port: int, path: str, wanted: int, seconds: float) -> list[Any]:
    """The calls of callbacks: those that are wanted, and any others that come soon after."""
    calls: list[Any] = []
    deadline = time.monotonic() + CALLS_SECONDS
    while len(calls) < wanted and time.monotonic() < deadline:
        calls += await fetch(port, path) or []
        await asyncio.sleep(POLL_SECONDS)
    await asyncio.sleep(seconds)
    return calls + (await fetch(port, path) or [])


def counts(results: Iterable[Result]) -> dict[str, int]:
    found = Counter(result.outcome for result in results)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def report(results: Iterable[Result], *, verbose: bool = False) -> Iterator[str]:
    """Lines for people: per family how many cases agree, and what differs in the others."""
    by_family = sorted(results, key=lambda result: (result.case.family, result.case.name))
    for family, members in groupby(by_family, key=lambda result: result.case.family):
        listed = list(members)
        numbers = ", ".join(f"{n} {name}" for name, n in counts(listed).items() if n)
        yield f"{family}: {numbers}"
        for result in listed:
            if result.differences and (verbose or result.outcome == "differs"):
                case = result.case
                yield f"  {result.outcome.upper()} {case.name} [{case.profile}]"
                shown = result.differences if verbose else result.differences[:6]
                yield from (f"      {line}" for line in shown)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True, type=json.loads, help="JSON: profile to port")
    parser.add_argument("--only", default="", help="regular expression searched in case names")
    parser.add_argument("--extra", action="store_true", help="the extra cases instead")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every difference")
    options = parser.parse_args(arguments)

    cases = load_cases(options.only, EXTRA_CASES if options.extra else CASES)
    results = asyncio.run(replay(cases, options.map))
    found = counts(results)
    for line in report(results, verbose=options.verbose):
        print(line)
    print(json.dumps(found))
    return 1 if found["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
