"""``transcribe``: a recording in, its text out."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from copilotkit_django.events.inputs import InvalidInput, parse_json
from copilotkit_django.incidents import scrub
from copilotkit_django.operations.call import Call
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
#: What recorders send that do not say what they recorded.
UNNAMED_TYPES = ("", "application/octet-stream")

DEFAULT_TYPE = "audio/webm"
DEFAULT_NAME = "recording.webm"


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
            message = scrub(error, expose=call.endpoint.options.exposes_errors)
            known = TranscriptionError(message)
        raise known from error
    return {"text": text, "size": audio.size, "type": audio.mime_type}


class TooLarge(InvalidTranscriptionRequest):
    """The recording passes MAX_AUDIO_BYTES."""


def uploaded(content: bytes, mime_type: str, filename: str) -> Audio:
    """A recording from a multipart form, with a type and a name if it came without."""
    if _base_type(mime_type) in UNNAMED_TYPES:
        mime_type = DEFAULT_TYPE
    return Audio(content, mime_type, filename or DEFAULT_NAME)


def encoded(body: bytes) -> Audio:
    """A recording from ``{"audio", "mimeType", "filename"?}``, base64 or a data URL.

    Raises `InvalidTranscriptionRequest` naming the field.
    """
    try:
        value = parse_json(body)
    except InvalidInput:
        raise InvalidTranscriptionRequest("Request body must be valid JSON") from None
    fields = value if isinstance(value, dict) else {}
    data, mime_type = fields.get("audio"), fields.get("mimeType")
    if not isinstance(data, str) or not data:
        raise InvalidTranscriptionRequest(
            "Request must include 'audio' field with base64-encoded audio data"
        )
    if not isinstance(mime_type, str) or not mime_type:
        raise InvalidTranscriptionRequest(
            "Request must include 'mimeType' field (e.g., 'audio/webm')"
        )
    if data.startswith("data:"):
        data = data.partition(",")[2]
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidTranscriptionRequest("Failed to decode base64 audio data") from None
    filename = fields.get("filename")
    return Audio(content, mime_type, filename if isinstance(filename, str) else DEFAULT_NAME)


def _base_type(mime_type: str) -> str:
    return mime_type.partition(";")[0].strip()
