"""Compares a response with the recorded one: values exactly, headers by meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .case import Case, Request

#: What a server may choose freely: whether it offers thread changes and live lists, and where.
CHOICES = re.compile(r"/responses/\d+/body(/singleRoute)?/(threadEndpoints/\w+|intelligence(/.*)?)")

Loose = tuple[re.Pattern[str], ...]


def differences(case: Case, found: Mapping[str, Any]) -> Iterator[str]:
    """What is different, one sentence each. `found` has the keys of a recorded case."""
    pairs = zip(case.requests, case.responses, found["responses"], strict=True)
    for index, (request, wanted, got) in enumerate(pairs):
        yield from response_differences(f"/responses/{index}", request, wanted, got, case.loose)
    for key in ("after_middleware_calls", "hook_calls"):
        wanted_calls = getattr(case, key)
        if wanted_calls is not None:
            yield from value_differences(f"/{key}", wanted_calls, found.get(key), case.loose)


def response_differences(
    path: str, request: Request, wanted: Mapping[str, Any], got: Mapping[str, Any], loose: Loose
) -> Iterator[str]:
    wanted, got = dict(wanted), dict(got)
    wanted_headers, got_headers = wanted.pop("headers", {}), got.pop("headers", {})
    for name in sorted(wanted_headers.keys() | got_headers.keys()):
        want, have = wanted_headers.get(name), got_headers.get(name)
        if not header_agrees(name, want, have, request):
            yield f"{path}/headers/{name}: want {want!r} got {have!r}"
    answered = {200, 204}
    if request.method == "OPTIONS" and {wanted.get("status"), got.get("status")} <= answered:
        return
    yield from value_differences(path, wanted, got, loose)


def header_agrees(name: str, want: str | None, got: str | None, request: Request) -> bool:
    asked = {key.lower(): value for key, value in request.headers.items()}
    is_preflight = request.method == "OPTIONS"
    match name:
        case "x-accel-buffering" | "content-encoding":
            return True
        case "content-type":
            return is_preflight or media_type(want) == media_type(got)
        case "cache-control" | "vary":
            return tokens(want) <= tokens(got)
        case "allow":
            return is_preflight or tokens(want) <= tokens(got)
        case _ if name.startswith("access-control-"):
            return "origin" not in asked or cors_agrees(name, want, got, asked)
    return want == got


def cors_agrees(name: str, want: str | None, got: str | None, asked: Mapping[str, str]) -> bool:
    match name.removeprefix("access-control-"):
        case "allow-origin":
            return want == got or (want == "*" and got == asked["origin"])
        case "allow-headers":
            needed = tokens(asked.get("access-control-request-headers"))
            return not tokens(want) or "*" in tokens(got) or needed <= tokens(got)
        case "allow-methods":
            needed = tokens(asked.get("access-control-request-method"))
            return not tokens(want) or needed <= tokens(got)
        case "expose-headers":
            return tokens(want) <= tokens(got)
    return want == got or want is None


def media_type(value: str | None) -> str:
    return (value or "").partition(";")[0].strip()


def tokens(value: str | None) -> set[str]:
    return {token.strip().lower() for token in (value or "").split(",")} - {""}


def value_differences(path: str, wanted: Any, got: Any, loose: Loose) -> Iterator[str]:
    if CHOICES.fullmatch(path):
        return
    if any(pattern.fullmatch(path) for pattern in loose):
        if type(wanted) is not type(got):
            yield f"{path}: type {type(wanted).__name__} != {type(got).__name__}"
        return
    match wanted, got:
        case dict(), dict():
            yield from object_differences(path, wanted, got, loose)
        case list(), list():
            if len(wanted) != len(got):
                shown = str(got)[:160]
                yield f"{path}: {len(wanted)} items wanted, {len(got)} got: {shown}"
            for index, (want, have) in enumerate(zip(wanted, got, strict=False)):
                yield from value_differences(f"{path}/{index}", want, have, loose)
        case _ if type(wanted) is type(got) and wanted == got:
            return
        case str(), str() if (parsed := both_parsed(wanted, got)) is not None:
            yield from value_differences(f"{path}#json", *parsed, loose)
        case _:
            yield f"{path}: want {str(wanted)[:120]!r} got {str(got)[:120]!r}"


def object_differences(
    path: str, wanted: Mapping[str, Any], got: Mapping[str, Any], loose: Loose
) -> Iterator[str]:
    for key in sorted(wanted.keys() | got.keys()):
        # `raw` repeats the stream as text; the events of the stream were compared already.
        if key == "raw" or CHOICES.fullmatch(f"{path}/{key}"):
            continue
        if key not in got:
            yield f"{path}/{key}: missing (want {str(wanted[key])[:80]!r})"
        elif key not in wanted:
            yield f"{path}/{key}: unexpected {str(got[key])[:80]!r}"
        else:
            yield from value_differences(f"{path}/{key}", wanted[key], got[key], loose)


def both_parsed(wanted: str, got: str) -> tuple[Any, Any] | None:
    """The values of two JSON texts: the order of keys in them has no meaning."""
    if wanted[:1] not in {"{", "["} or got[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(wanted), json.loads(got)
    except ValueError:
        return None
