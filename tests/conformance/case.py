"""One recorded case: the requests to send and the responses the reference gave."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: The cases everything is held to, and more of the reference's behaviour.
CASES = HERE / "cases"
EXTRA_CASES = HERE / "cases_extra"
INTENDED: Mapping[str, str] = json.loads((HERE / "intended.json").read_text(encoding="utf-8"))

#: So many times slower than recorded agents speak and requests follow each other: what has to come
#: in the middle of a run does so on a slow machine, too.
SLOWNESS = 3

BOUNDARY = "----conformance-boundary"


@dataclass(frozen=True, slots=True)
class Start:
    """When a request is sent: at once, or after something happened to an earlier one."""

    after_request: int | None = None
    events: int | None = None  # None: once that response is complete

    @classmethod
    def of(cls, recorded: Any, index: int) -> Start:
        if recorded == "together" or (recorded is None and index == 0):
            return cls()
        if recorded is None:
            return cls(after_request=index - 1)
        return cls(recorded["after_request"], recorded.get("events"))


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes
    start: Start = Start()
    delay_seconds: float = 0.0
    disconnect_after_events: int | None = None
    disconnect_after_comments: int | None = None
    profile: str | None = None

    @classmethod
    def of(cls, recorded: Mapping[str, Any], index: int) -> Request:
        content, content_type = encode_body(recorded)
        headers = dict(recorded["headers"])
        if content_type and "content-type" not in {name.lower() for name in headers}:
            headers["content-type"] = content_type
        return cls(
            method=recorded["method"],
            path=recorded["path"],
            headers=headers,
            content=content,
            start=Start.of(recorded.get("start"), index),
            delay_seconds=recorded.get("delay_ms", 0) / 1000 * SLOWNESS,
            disconnect_after_events=recorded.get("disconnect_after_events"),
            disconnect_after_comments=recorded.get("disconnect_after_comments"),
            profile=recorded.get("profile"),
        )


def encode_body(recorded: Mapping[str, Any]) -> tuple[bytes, str | None]:
    """The bytes of a recorded body, and the content type it has unless the case names one."""
    if "body" in recorded:
        return json.dumps(recorded["body"], ensure_ascii=False).encode(), "application/json"
    if "body_text" in recorded:
        return recorded["body_text"].encode(), None
    if "multipart" in recorded:
        parts = b"".join(encode_part(part) for part in recorded["multipart"])
        return parts + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"
    return b"", None


def encode_part(part: Mapping[str, Any]) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part["name"]}"'
    if "filename" in part:
        head += f'; filename="{part["filename"]}"'
    if "content_type" in part:
        head += f"\r\nContent-Type: {part['content_type']}"
    content = part["text"].encode() if "text" in part else bytes(part["zeros"])
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    family: str
    profile: str
    requests: tuple[Request, ...]
    responses: tuple[Mapping[str, Any], ...]
    #: Values under these paths must exist and have the recorded type, no more.
    loose: tuple[re.Pattern[str], ...] = ()
    #: Where the reference does something questionable: what else is acceptable.
    peer_quirk: str | None = None
    after_middleware_calls: list[Any] | None = None
    hook_calls: list[Any] | None = None
    intended: str | None = field(default=None)

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> Case:
        return cls(
            name=recorded["name"],
            family=recorded["family"],
            profile=recorded["profile"],
            requests=tuple(Request.of(each, i) for i, each in enumerate(recorded["requests"])),
            responses=tuple(recorded["responses"]),
            loose=tuple(loose_path(path) for path in recorded.get("loose", ())),
            peer_quirk=recorded.get("peer_quirk"),
            after_middleware_calls=recorded.get("after_middleware_calls"),
            hook_calls=recorded.get("hook_calls"),
            intended=INTENDED.get(recorded["name"]),
        )


def loose_path(path: str) -> re.Pattern[str]:
    """A pattern for `path` and everything below it; `*` stands for any one segment."""
    return re.compile(re.escape(path).replace(r"\*", "[^/]+") + "(/.*)?")


def load_cases(only: str = "", folder: Path = CASES) -> Iterator[Case]:
    """Every recorded case whose name matches `only`, in the order of their names."""
    for path in sorted(folder.glob("*.json")):
        case = Case.of(json.loads(path.read_text(encoding="utf-8")))
        if re.search(only, case.name):
            yield case
