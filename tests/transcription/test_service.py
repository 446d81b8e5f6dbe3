"""A transcription service of the project's own."""

from __future__ import annotations

import base64

import pytest

from copilotkit_django import transcription
from copilotkit_django.transcription import TranscriptionService

BODY = {"audio": base64.b64encode(b"12345").decode(), "mimeType": "audio/wav"}

ERRORS = {
    transcription.InvalidAudioFormat: (400, "invalid_audio_format", False),
    transcription.AudioTooLong: (400, "audio_too_long", False),
    transcription.AudioTooShort: (400, "audio_too_short", False),
    transcription.RateLimited: (429, "rate_limited", True),
    transcription.AuthFailed: (401, "auth_failed", False),
    transcription.ProviderUnreachable: (502, "network_error", True),
    transcription.InvalidTranscriptionRequest: (400, "invalid_request", False),
    transcription.TranscriptionError: (500, "provider_error", True),
}


class Failing(TranscriptionService):
    def __init__(self, error):
        self.error = error

    async def transcribe(self, audio):
        raise self.error


@pytest.mark.parametrize("error", ERRORS)
async def test_service__typed_error(serve, alice, error):
    """A service says why it failed; the text it gives is shown."""
    serve(transcription_service=Failing(error("My own words.")))

    answer = await alice.ask("POST", "/transcribe", BODY)

    status, code, retryable = ERRORS[error]
    assert answer.status == status
    assert answer.data == {"error": code, "message": "My own words.", "retryable": retryable}


@pytest.mark.parametrize("error", ERRORS)
def test_service__default_texts(error):
    """Every reason has a text of its own, for services that give none."""
    assert str(error())


@pytest.mark.parametrize(("limit", "status"), [(5, 200), (4, 400)])
async def test_service__size_limit(serve, alice, limit, status):
    """Recordings above MAX_AUDIO_BYTES never reach the service."""

    class Counting(TranscriptionService):
        async def transcribe(self, audio):
            return str(audio.size)

    serve(transcription_service=Counting, max_audio_bytes=limit)

    assert (await alice.ask("POST", "/transcribe", BODY)).status == status


@pytest.mark.parametrize(("service", "enabled"), [(None, False), (Failing(None), True)])
async def test_info__tells(serve, alice, service, enabled):
    """Clients learn from /info whether to show a microphone."""
    serve(transcription_service=service)

    answer = await alice.ask("GET", "/info")

    assert answer.data["audioFileTranscriptionEnabled"] is enabled
