"""Recordings as browsers and scripts send them."""

from __future__ import annotations

import json

import pytest

from copilotkit_django.operations.recordings import from_form, from_json
from copilotkit_django.transcription import InvalidTranscriptionRequest

FORM = "multipart/form-data; boundary=x"
FILE = 'form-data; name="audio"; filename="a.wav"'


def part(disposition=FILE, content=b"hello", content_type="audio/wav"):
    head = f"--x\r\nContent-Disposition: {disposition}\r\n".encode()
    if content_type is not None:
        head += f"content-type: {content_type}\r\n".encode()
    return head + b"\r\n" + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + b"--x--\r\n"


class TestForm:
    @pytest.mark.parametrize("content", [b"", b"hello", b"\r\n--", b"\r\n\r\n\0\xff", b"-" * 99])
    def test_from_form__content(self, content):
        """A recording is any bytes."""
        assert from_form(form(part(content=content)), FORM).content == content

    @pytest.mark.parametrize(
        ("content_type", "mime_type"),
        [
            ("audio/wav", "audio/wav"),
            ("AUDIO/WAV", "audio/wav"),
            ("audio/webm;codecs=opus", "audio/webm;codecs=opus"),
            ("audio/webm; codecs=opus", "audio/webm; codecs=opus"),
            ("application/octet-stream", "audio/webm"),
            ("application/octet-stream; x=y", "application/octet-stream; x=y"),
            ("", "audio/webm"),
            (None, "text/plain"),
        ],
    )
    def test_from_form__type(self, content_type, mime_type):
        """The type is what was sent, and the usual one of browsers if that says nothing."""
        assert from_form(form(part(content_type=content_type)), FORM).mime_type == mime_type

    @pytest.mark.parametrize(
        ("filename", "expected"),
        [
            ("a.wav", "a.wav"),
            ("weird name ü.wav", "weird name ü.wav"),
            ("../../etc/passwd", "passwd"),
            (r"C:\\Users\\me\\a.wav", "a.wav"),
            ("", "recording.webm"),
        ],
    )
    def test_from_form__name(self, filename, expected):
        """A recording has a name, and never a path."""
        body = form(part(f'form-data; name="audio"; filename="{filename}"'))

        assert from_form(body, FORM).filename == expected

    def test_from_form__too_many_parts(self):
        """A form of very many parts is refused before they are taken apart."""
        with pytest.raises(InvalidTranscriptionRequest, match="cannot be read"):
            from_form(form(*[part("form-data; name=x")] * 200, part()), FORM)

    def test_from_form__among_others(self):
        """The first file of that name is the recording, whatever else the form holds."""
        field = part('form-data; name="audio"', b"a field", None)
        other = part('form-data; name="file"; filename="b.wav"', b"other")

        body = b"preamble\r\n" + form(field, other, part(content=b"1"), part(content=b"2"))

        assert from_form(body + b"epilogue", FORM).content == b"1"

    @pytest.mark.parametrize(
        "body", [form(), form(part('form-data; name="Audio"; filename="a.wav"')), form(part("x"))]
    )
    def test_from_form__no_recording(self, body):
        """A form without a recording is refused with the protocol's sentence."""
        with pytest.raises(InvalidTranscriptionRequest, match="No audio file found"):
            from_form(body, FORM)

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"", FORM),
            (b"hello", FORM),
            (part(), FORM),
            (b"--xy\r\n\r\n\r\n--x--", FORM),
            (b"--x\r\nno end of head\r\n--x--", FORM),
            (form(part()), "multipart/form-data"),
            (form(part()), "multipart/form-data; boundary="),
            (form(part()), "multipart/form-data; boundary=日本"),
            (form(part("form-data; name*=nocode'en'a; filename=b")), FORM),
        ],
    )
    def test_from_form__malformed(self, body, content_type):
        """What is no form is a bad request."""
        with pytest.raises(InvalidTranscriptionRequest):
            from_form(body, content_type)


def recorded(**fields):
    return from_json(json.dumps({"audio": "aGVsbG8=", "mimeType": "audio/wav", **fields}).encode())


class TestJson:
    @pytest.mark.parametrize(
        ("audio", "content"),
        [
            ("aGVsbG8=", b"hello"),
            ("aGVsbG8", b"hello"),
            ("aGVs\nbG8=", b"hello"),
            ("data:audio/webm;base64,aGVsbG8=", b"hello"),
            (" ", b""),
            (",", b""),
            ("x,", b""),
        ],
    )
    def test_from_json__audio(self, audio, content):
        """Base64 may be padded or not, broken into lines, and stand behind a comma."""
        assert recorded(audio=audio).content == content

    @pytest.mark.parametrize("audio", ["a", "%%%", "a,b,c", "-_-_", "aGVsbG8==", "é", None, "", 5])
    def test_from_json__not_audio(self, audio):
        """Anything else is a bad request."""
        with pytest.raises(InvalidTranscriptionRequest):
            recorded(audio=audio)

    @pytest.mark.parametrize(
        ("filename", "expected"),
        [
            ("a.wav", "a.wav"),
            ("", "recording.webm"),
            (None, "recording.webm"),
            (5, "5"),
            (True, "true"),
        ],
    )
    def test_from_json__name(self, filename, expected):
        """A recording has a name."""
        assert recorded(filename=filename).filename == expected
