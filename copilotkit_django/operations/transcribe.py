"""``transcribe``: a recording in, its text out."""

from __future__ import annotations

from typing import Any

from copilotkit_django.incidents import scrub
from copilotkit_django.operations.call import Call
from copilotkit_django.operations.recordings import UNNAMED_TYPES
from copilotkit_django.transcription import (
    Audio,
    InvalidAudioFormat,
    InvalidTranscriptionRequest,
    ServiceNotConfigured,
    TranscriptionError,
    TranscriptionService,
    classify,
)

MIME_TYPES = (
    "audio/mpeg",
    "audio/mp3",
    "audio/mp4",
    "audio/wav",
    "audio/webm",
    "audio/ogg",
    "audio/flac",
    "audio/aac",
)


def service(call: Call) -> TranscriptionService:
    """The configured service. Raises `ServiceNotConfigured`."""
    found = call.endpoint.transcription
    if found is None:
        raise ServiceNotConfigured
    return found


async def transcribe(call: Call, audio: Audio) -> dict[str, Any]:
    """The text of a recording. Raises a `TranscriptionError` the client knows."""
    speech = service(call)
    if _base_type(audio.mime_type) not in MIME_TYPES + UNNAMED_TYPES:
        raise InvalidAudioFormat(
            f"Unsupported audio format: {audio.mime_type}. Supported: {', '.join(MIME_TYPES)}"
        )
    limit = call.endpoint.options.max_audio_bytes
    if audio.size > limit:
        raise TooLarge(f"The recording is larger than {limit} bytes.")
    try:
        text = await speech.transcribe(audio)
    except TranscriptionError:
        raise
    except Exception as error:
        known = classify(error)
        if known is None:
            expose = call.endpoint.options.exposes_errors
            sentence = scrub(error, expose=expose)
            # Where texts may be shown an empty one is, too.
            known = TranscriptionError(str(error) if expose else sentence)
        raise known from error
    return {"text": text, "size": audio.size, "type": audio.mime_type}


class TooLarge(InvalidTranscriptionRequest):
    """The recording passes MAX_AUDIO_BYTES."""


def _base_type(mime_type: str) -> str:
    return mime_type.partition(";")[0].strip()
