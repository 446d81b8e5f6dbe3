"""What may be attached to messages: so many files, so large."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from copilotkit_django.conf import Options
from copilotkit_django.operations.attachments import attachment_sizes
from tests.talk import kinds, run_input

MIB = 1024 * 1024


def encoded(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


def picture(size: int) -> Any:
    source = {"type": "data", "value": encoded(size), "mimeType": "image/png"}
    return {"type": "image", "source": source}


def message(id: str, *parts: Any, role: str = "user") -> Any:
    return {"id": id, "role": role, "content": [{"type": "text", "text": "see"}, *parts]}


FORMS = {
    "data": lambda size: picture(size),
    "data-url": lambda size: {
        "type": "document",
        "source": {"type": "url", "value": f"data:text/plain;base64,{encoded(size)}"},
    },
    "data-url-as-data": lambda size: {
        "type": "audio",
        "source": {
            "type": "data",
            "value": f"data:audio/wav;base64,{encoded(size)}",
            "mimeType": "audio/wav",
        },
    },
    "binary": lambda size: {"type": "binary", "mimeType": "x/y", "data": encoded(size)},
    "binary-url": lambda size: {
        "type": "binary",
        "mimeType": "x/y",
        "url": f"DATA:x/y;base64,{encoded(size)}",
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000])
def test_size(form, size):
    """An attachment is as large as its file, however it is sent."""
    assert list(attachment_sizes(message("u", FORMS[form](size)))) == [size]


def test_size__linked():
    """What is only linked to or named counts as one, of no size."""
    linked = {"type": "video", "source": {"type": "url", "value": "https://example.org/v.mp4"}}
    named = {"type": "document", "source": {"type": "file", "value": "file-1"}}
    kept = {"type": "binary", "mimeType": "x/y", "id": "b1"}

    assert list(attachment_sizes(message("u", linked, named, kept))) == [0, 0, 0]


@pytest.mark.parametrize(
    "said", [{"id": "u", "role": "user", "content": "hi"}, message("t", picture(9), role="tool")]
)
def test_size__none(said):
    """Text is none, and neither is what others than the user say."""
    assert list(attachment_sizes(said)) == []


@pytest.mark.parametrize("operation", ["run", "suggest"])
class TestRefused:
    async def test_message__too_many(self, serve, alice, operation):
        """A message with more attachments than it may have is not taken."""
        serve(max_attachments_per_message=2)
        path = f"/agent/default/{operation}"

        taken = await alice.ask("POST", path, run_input(messages=[message("u", *[picture(3)] * 2)]))
        answer = await alice.ask(
            "POST", path, run_input(messages=[message("u", *[picture(3)] * 3)])
        )

        assert taken.status == 200
        assert answer.status == 400
        assert answer.data == {
            "error": "too_many_attachments",
            "message": "A message may have 2 files attached, not more.",
        }

    async def test_run__too_many(self, serve, alice, operation):
        """Neither are messages with more of them together."""
        serve(max_attachments_per_run=3)
        said = [message(f"u{number}", picture(3), picture(3)) for number in range(2)]

        answer = await alice.ask("POST", f"/agent/default/{operation}", run_input(messages=said))

        assert answer.status == 400
        assert answer.data["message"] == "A conversation may have 3 files attached, not more."

    @pytest.mark.parametrize("form", FORMS)
    async def test_attachment__too_large(self, serve, alice, operation, form):
        """A file that is larger than it may be is refused, to the byte."""
        serve(max_attachment_bytes=1000)
        path = f"/agent/default/{operation}"

        def body(size: int) -> Any:
            return run_input(messages=[message("u", FORMS[form](size))])

        assert (await alice.ask("POST", path, body(1000))).status == 200
        answer = await alice.ask("POST", path, body(1001))

        assert answer.status == 413
        assert answer.data == {
            "error": "attachment_too_large",
            "message": "An attached file may have 1000 bytes, not more.",
        }

    async def test_envelope(self, serve, alice, operation):
        """The limits hold however it is asked for."""
        serve(max_attachments_per_message=1)
        envelope = {
            "method": f"agent/{operation}",
            "params": {"agentId": "default"},
            "body": run_input(messages=[message("u", picture(3), picture(3))]),
        }

        assert (await alice.ask("POST", "", envelope)).status == 400


async def test_run__as_large_as_people_expect(serve, alice):
    """A file of 20 MiB passes all limits there are by default."""
    serve()

    answer = await alice.run(run_input(messages=[message("u", picture(20 * MIB))]))

    assert kinds(answer.events)[-1] == "RUN_FINISHED"


async def test_run__refused_leaves_nothing(serve, alice):
    """What was refused is on no thread."""
    serve(max_attachments_per_message=1)
    await alice.run(run_input(messages=[message("u", picture(3), picture(3))]))

    assert (await alice.ask("GET", "/threads")).data["threads"] == []


async def test_connect__whatever(serve, alice):
    """Whoever only reads may send what they like."""
    serve(max_attachments_per_message=1, max_attachment_bytes=1)

    answer = await alice.connect(run_input(messages=[message("u", picture(3), picture(3))]))

    assert answer.status == 200


async def test_limits__none(serve, alice):
    """None is no limit."""
    names = ("max_attachments_per_message", "max_attachments_per_run", "max_attachment_bytes")
    serve(**dict.fromkeys(names))
    many = Options().max_attachments_per_run + 1

    answer = await alice.run(run_input(messages=[message("u", *[picture(3)] * many)]))

    assert answer.status == 200
