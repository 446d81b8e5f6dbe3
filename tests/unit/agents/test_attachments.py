"""What the content of a message holds."""

from __future__ import annotations

import base64
import logging

import pytest

from copilotkit_django.agents.attachments import Attachment, parts_of, text_of


def test_parts_of__texts_and_files():
    """Text stays text, and files come as their bytes or their address."""
    data = base64.b64encode(b"png").decode()
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "text", "text": ""},
        {"type": "image", "source": {"type": "data", "value": data, "mimeType": "image/png"}},
        {"type": "document", "source": {"type": "url", "value": "https://example.com/a.pdf"}},
        {"type": "binary", "mimeType": "text/csv", "data": data, "filename": "a.csv"},
        {"type": "binary", "mimeType": "image/gif", "url": "data:image/gif;base64," + data},
        {"type": "binary", "mimeType": "text/plain", "url": "data:,a%20b"},
    ]

    assert parts_of(content) == [
        "Look:",
        Attachment("image/png", b"png", family="image"),
        Attachment("application/octet-stream", url="https://example.com/a.pdf"),
        Attachment("text/csv", b"png", name="a.csv"),
        Attachment("image/gif", b"png", family="image"),
        Attachment("text/plain", b"a b"),
    ]
    assert parts_of("Hello") == ["Hello"]
    assert parts_of("") == []


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "url", "value": "file:///etc/passwd"}},
        {"type": "image", "source": {"type": "url", "value": "https://"}},
        {"type": "image", "source": {"type": "file", "value": "file-1"}},
        {"type": "image", "source": {"type": "data", "value": "a", "mimeType": "image/png"}},
        {"type": "image", "source": {"type": "url", "value": "data:image/png"}},
        {"type": "binary", "mimeType": "image/png", "id": "file-1"},
    ],
)
def test_parts_of__a_file_that_cannot_be_read(part, caplog):
    """It is left out, and the log says so."""
    with caplog.at_level(logging.WARNING, "copilotkit.run"):
        assert parts_of([part, {"type": "text", "text": "Hi"}]) == ["Hi"]

    assert "left out" in caplog.text


def test_text_of__files():
    """The text of a message is that of its text parts."""
    parts = [{"type": "text", "text": "a"}, {"type": "binary"}, {"type": "text", "text": "b"}]

    assert text_of(parts) == "ab"
    assert text_of("a") == "a"
