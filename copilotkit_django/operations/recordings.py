"""A recording out of a request: from a form, or from JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from django.utils.http import parse_header_parameters

from copilotkit_django.events.inputs import InvalidInput, as_text, parse_json
from copilotkit_django.transcription import Audio, InvalidTranscriptionRequest

#: What recorders send that do not say what they recorded.
UNNAMED_TYPES = ("", "application/octet-stream")

#: A recorder's form has a part or two.
MAX_PARTS = 100

DEFAULT_TYPE = "audio/webm"
DEFAULT_NAME = "recording.webm"


def from_form(body: bytes, content_type: str) -> Audio:
    """The first file named ``audio`` in a multipart form.

    It gets a type and a name if it came without. The type is as it was sent, parameters and all,
    which is what Django's parser does not keep. Raises `InvalidTranscriptionRequest`.
    """
    try:
        boundary = _parameters(content_type).get("boundary", "")
        for headers, content in _parts(body, boundary):
            about = _parameters(headers.get("content-disposition", ""))
            if about.get("name") == "audio" and "filename" in about:
                # A part that names no type is text (RFC 7578).
                mime_type = headers.get("content-type", "text/plain").lower()
                if mime_type in UNNAMED_TYPES:
                    mime_type = DEFAULT_TYPE
                return Audio(content, mime_type, _base_name(about["filename"]) or DEFAULT_NAME)
    except ValueError:
        raise InvalidTranscriptionRequest("The form cannot be read.") from None
    raise InvalidTranscriptionRequest(
        "No audio file found in form data. Please include an 'audio' field."
    )


def _parameters(header: str) -> dict[str, str]:
    return {name.lower(): value for name, value in parse_header_parameters(header)[1].items()}


def _parts(body: bytes, boundary: str) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and content of each part of a form. Raises `ValueError` for what is none."""
    # What stands before the first delimiter and after the last one is no part.
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    _, *pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    if not boundary or len(pieces) > MAX_PARTS:
        raise ValueError
    if not any(piece.startswith(b"--") for piece in pieces):
        raise ValueError
    for piece in pieces:
        if piece.startswith(b"--"):
            return
        head, separator, content = piece.partition(b"\r\n\r\n")
        if not separator or head.split(b"\r\n", 1)[0].strip():
            raise ValueError
        lines = (line.partition(":") for line in head.decode(errors="replace").split("\r\n"))
        yield {name.strip().lower(): value.strip() for name, _, value in lines}, content


def _base_name(filename: str) -> str:
    """The last part of what may be a path: services hand it on, and name files by it."""
    return filename.replace("\\", "/").rpartition("/")[2]


def from_json(body: bytes) -> Audio:
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
    try:
        content = _decoded(data)
    except (binascii.Error, ValueError):
        raise InvalidTranscriptionRequest("Failed to decode base64 audio data") from None
    return Audio(content, mime_type, _name(fields.get("filename")))


def _decoded(data: str) -> bytes:
    """Base64, padded or not, alone or behind the comma of a data URL."""
    first, comma, rest = data.partition(",")
    text = "".join((rest.partition(",")[0] if comma else first).split())
    if "=" not in text:
        text += "=" * (-len(text) % 4)
    return base64.b64decode(text, validate=True)


def _name(filename: Any) -> str:
    return DEFAULT_NAME if filename in (None, "", 0) else as_text(filename)
