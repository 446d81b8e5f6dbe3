"""What people attach to their messages, and how much of it a run may be given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from copilotkit_django.conf import Options
from copilotkit_django.exceptions import AttachmentTooLarge, TooManyAttachments


def refuse_attachments(messages: Iterable[Mapping[str, Any]], options: Options) -> None:
    """Look at the user messages of a validated run input.

    Raises `TooManyAttachments` and `AttachmentTooLarge`, which name the limit.
    """
    each = options.max_attachments_per_message
    together = options.max_attachments_per_run
    largest = options.max_attachment_bytes
    total = 0
    for message in messages:
        sizes = list(attachment_sizes(message))
        total += len(sizes)
        if each is not None and len(sizes) > each:
            raise TooManyAttachments(each, "A message")
        if together is not None and total > together:
            raise TooManyAttachments(together, "A conversation")
        if largest is not None and any(size > largest for size in sizes):
            raise AttachmentTooLarge(largest)


def attachment_sizes(message: Mapping[str, Any]) -> Iterator[int]:
    """The bytes of each attachment of a message; 0 for one that is only named or linked to."""
    content = message.get("content")
    if message.get("role") != "user" or not isinstance(content, list):
        return
    for part in content:
        if part["type"] == "binary":
            # The form of clients before 1.0.
            yield _decoded_size(part["data"]) if "data" in part else _size(part.get("url", ""))
        elif part["type"] != "text":
            source = part["source"]
            is_data = source["type"] == "data"
            yield _decoded_size(source["value"]) if is_data else _size(source["value"])


def _size(url: str) -> int:
    """What a link holds itself: nothing, unless it is the data."""
    return _decoded_size(url.partition(",")[2]) if url[:5].lower() == "data:" else 0


def _decoded_size(text: str) -> int:
    """How many bytes base64 amounts to, without decoding it."""
    # Some put the whole data URL where only the data belongs.
    if text[:5].lower() == "data:":
        text = text.partition(",")[2]
    return len(text) * 3 // 4 - text[-2:].count("=")
