"""What the page on transcription says is so."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest

from copilotkit_django import transcription
from copilotkit_django.conf import Options
from copilotkit_django.operations.transcribe import MIME_TYPES
from copilotkit_django.runtime import get_runtime
from copilotkit_django.transcription import OpenAITranscriptionService, TranscriptionError
from tests.transcription.speech_server import HOST, speech_server
from tests.transcription.test_service import ERRORS

from .pages import DOCS, Page

page = Page("how-to/transcription.md")


def recording(size: int = 5) -> dict[str, str]:
    return {"audio": base64.b64encode(bytes(size)).decode(), "mimeType": "audio/wav"}


def test_page__all_tested():
    """Every section with code has a test."""
    assert page.tested == page.sections


@page("Use OpenAI, or a server with its interface")
async def test_openai(project, alice):
    """The service made by hand works with a server of the project's choice."""
    async with speech_server() as server:
        service = project["mysite.speech"].service
        service._base_url = server.url

        answer = await alice.ask("POST", "/transcribe", recording())

    assert answer.data["text"] == "hello there"
    assert server.asked[0].fields["language"] == "de"


@page("Use OpenAI, or a server with its interface")
async def test_openai__by_name(project, settings, alice, monkeypatch):
    """The one named in the settings finds key and address in the environment."""
    name = "copilotkit_django.transcription.OpenAITranscriptionService"
    settings.COPILOTKIT = {**settings.COPILOTKIT, "TRANSCRIPTION_SERVICE": name}
    async with speech_server() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

        answer = await alice.ask("POST", "/transcribe", recording())

    assert isinstance(get_runtime().endpoint.transcription, OpenAITranscriptionService)
    assert answer.data["text"] == "hello there"


@asynccontextmanager
async def listening(answer: dict[str, str]):
    """A server that answers whatever it hears; yields its address."""

    async def connected(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-type: audio/wav" in head.lower()
        content = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % len(content) + content
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(connected, HOST, 0) as server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}/listen"


@page("Write a service")
async def test_service(project, alice):
    """The service of the page hands the recording on, and the text back."""
    async with listening({"text": "good morning"}) as url:
        project["mysite.speech"].URL = url

        answer = await alice.ask("POST", "/transcribe", recording())

    assert answer.data == {"text": "good morning", "size": 5, "type": "audio/wav"}


@page("Write a service")
async def test_service__too_long(project, alice):
    """What it raises the client is told, in its words."""
    answer = await alice.ask("POST", "/transcribe", recording(5 * 1024 * 1024 + 1))

    assert (answer.status, answer.data["error"]) == (400, "audio_too_long")
    assert answer.data["message"] == "Please keep it under a minute."


@page("Write a service")
async def test_service__unreachable(project, alice):
    """A server that is down is a network error."""
    project["mysite.speech"].URL = f"http://{HOST}:1/"

    answer = await alice.ask("POST", "/transcribe", recording())

    assert (answer.status, answer.data["error"]) == (502, "network_error")


@page("Write a service")
@pytest.mark.parametrize(
    ("mime_type", "status"),
    [
        *((known, 200) for known in MIME_TYPES),
        ("application/octet-stream", 200),
        ("text/plain", 400),
    ],
)
async def test_limits__types(project, alice, mime_type, status):
    """The types on the page are let through, and recordings that name none."""
    project["mysite.speech"].HouseSpeech.transcribe = heard

    answer = await alice.ask("POST", "/transcribe", {**recording(), "mimeType": mime_type})

    assert answer.status == status
    if mime_type in MIME_TYPES:
        assert f"`{mime_type}`" in (DOCS / page.path).read_text(encoding="utf-8")


async def heard(service, audio):
    return "heard"


def test_limits__size():
    """The limit on the page is the default."""
    assert Options().max_audio_bytes == 25 * 1024 * 1024


@pytest.mark.parametrize("error", ERRORS)
def test_failures__table(error: type[TranscriptionError]):
    """The table says what each exception comes to."""
    status, code, retryable = ERRORS[error]
    row = f"| `{error.__name__}` | {status} | `{code}` | {'yes' if retryable else 'no'} |"

    assert getattr(transcription, error.__name__) is error
    assert row in (DOCS / page.path).read_text(encoding="utf-8")
