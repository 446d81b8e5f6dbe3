"""The service on OpenAI's interface, with the real client against a server of our own."""

from __future__ import annotations

import base64

import pytest
from openai import AsyncOpenAI

from copilotkit_django.transcription import OpenAITranscriptionService

from .speech_server import HOST, PATH

AUDIO = b"\x1aE\xdf\xa3 not really webm"
RECORDING = (
    b"--edge\r\n"
    b'Content-Disposition: form-data; name="audio"; filename="note.webm"\r\n'
    b"Content-Type: audio/webm;codecs=opus\r\n\r\n" + AUDIO + b"\r\n--edge--\r\n"
)


def openai_service(url, **options):
    """A service that gives up at once, so that failures take no time."""
    return OpenAITranscriptionService(
        client=AsyncOpenAI(api_key="sk-test", base_url=url, max_retries=0), **options
    )


async def post_form(caller):
    return await caller.ask(
        "POST", "/transcribe", RECORDING, content_type="multipart/form-data; boundary=edge"
    )


async def test_openai__form(serve, alice, speech):
    """A recording out of a form reaches the provider as it was sent, and its text comes back."""
    service = OpenAITranscriptionService(api_key="sk-test", base_url=speech.url)
    serve(transcription_service=service)

    answer = await post_form(alice)

    assert answer.data == {
        "text": "hello there",
        "size": len(AUDIO),
        "type": "audio/webm;codecs=opus",
    }
    [asked] = speech.asked
    assert asked.path == PATH
    assert asked.headers["authorization"] == "Bearer sk-test"
    assert asked.fields == {"model": "whisper-1", "file": AUDIO}
    assert (asked.filename, asked.mime_type) == ("note.webm", "audio/webm;codecs=opus")


@pytest.mark.parametrize("single", [False, True])
async def test_openai__json(serve, alice, speech, single):
    """So does one in JSON, alone or in an envelope."""
    serve(transcription_service=openai_service(speech.url))
    body = {"audio": base64.b64encode(AUDIO).decode(), "mimeType": "audio/mp3", "filename": "a.mp3"}

    if single:
        answer = await alice.ask("POST", "", {"method": "transcribe", "body": body})
    else:
        answer = await alice.ask("POST", "/transcribe", body)

    assert answer.data["text"] == "hello there"
    [asked] = speech.asked
    assert asked.fields["file"] == AUDIO
    assert (asked.filename, asked.mime_type) == ("a.mp3", "audio/mp3")


async def test_openai__environment(serve, alice, speech, monkeypatch):
    """Key and address come from the environment where the settings have none."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", speech.url)
    serve(transcription_service="copilotkit_django.transcription.OpenAITranscriptionService")

    assert (await post_form(alice)).data["text"] == "hello there"
    assert speech.asked[0].headers["authorization"] == "Bearer sk-environment"


async def test_openai__options(serve, alice, speech):
    """Options that are given are passed on."""
    service = openai_service(
        speech.url, model="whisper-large", language="de", prompt="Django", temperature=0.2
    )
    serve(transcription_service=service)

    await post_form(alice)

    fields = {name: value for name, value in speech.asked[0].fields.items() if name != "file"}
    assert fields == {
        "model": "whisper-large",
        "language": "de",
        "prompt": "Django",
        "temperature": "0.2",
    }


@pytest.mark.parametrize(
    ("status", "message", "code", "expected", "retryable"),
    [
        (429, "Slow down", None, (429, "rate_limited"), True),
        (401, "Incorrect API key provided", "invalid_api_key", (401, "auth_failed"), False),
        (403, "Country not supported", None, (401, "auth_failed"), False),
        (
            400,
            "Audio file is too short. Minimum audio length is 0.1 seconds.",
            "audio_too_short",
            (400, "audio_too_short"),
            False,
        ),
        (
            400,
            "audio duration 1500.1 seconds is longer than 1400 seconds",
            None,
            (400, "audio_too_long"),
            False,
        ),
        (413, "Maximum content size limit exceeded", None, (400, "audio_too_long"), False),
        (
            400,
            "Invalid file format. Supported formats: ['flac', 'mp3']",
            None,
            (400, "invalid_audio_format"),
            False,
        ),
        (500, "The server had an error", None, (500, "provider_error"), True),
    ],
)
async def test_openai__failures(
    serve, alice, speech, caplog, status, message, code, expected, retryable
):
    """What the provider refuses has a reason the client knows, and nothing of the provider's."""
    speech.fails(status, message, code)
    serve(transcription_service=openai_service(speech.url))

    answer = await post_form(alice)

    assert (answer.status, answer.data["error"]) == expected
    assert answer.data["retryable"] is retryable
    assert message not in answer.data["message"]


async def test_openai__unreachable(serve, alice):
    """A provider that cannot be reached is a network error, worth another try."""
    serve(transcription_service=openai_service(f"http://{HOST}:1/v1"))

    answer = await post_form(alice)

    assert (answer.status, answer.data["error"]) == (502, "network_error")
    assert answer.data["retryable"] is True
