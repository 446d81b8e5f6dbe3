"""What the content of a message holds: texts, and files in the forms clients send them in."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

logger = logging.getLogger("copilotkit.run")

Content = str | Iterable[Mapping[str, Any]]

#: The kind of a file nobody named the kind of.
ANY_TYPE = "application/octet-stream"

#: Kinds of files that parts of messages are named after; all others are documents.
FAMILIES = ("image", "audio", "video")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file the user sent: its bytes, or the address of it, or what its provider calls it.

    ``family`` is ``image``, ``audio``, ``video`` or ``document``, which the client says even where
    it names no media type.
    """

    media_type: str
    data: bytes | None = None
    url: str = ""
    name: str | None = None
    family: str = "document"
    file_id: str = ""
    provider: str = ""


def parts_of(content: Content, *, uploads: bool = False) -> list[str | Attachment]:
    """What a user message holds, in order: texts and files.

    A file that cannot be read (broken base64, an address that is not one of the web, an id only its
    provider knows) is left out with a line in the log. With ``uploads`` files that a named provider
    has are not.
    """
    if isinstance(content, str):
        return [content] if content else []
    return list(_parts(content, uploads))


def text_of(content: Content) -> str:
    """The text of a message, its files left out."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _parts(content: Iterable[Mapping[str, Any]], uploads: bool) -> Iterator[str | Attachment]:
    for part in content:
        if part["type"] == "text":
            if part["text"]:
                yield part["text"]
            continue
        try:
            yield _attachment(part, uploads)
        except (ValueError, binascii.Error) as error:
            logger.warning("An attachment is left out of the conversation: %s", error)


def _attachment(part: Mapping[str, Any], uploads: bool) -> Attachment:
    if part["type"] == "binary":
        kind, name = part["mimeType"], part.get("filename")
        data, url = part.get("data"), part.get("url")
        first = kind.partition("/")[0]
        family = first if first in FAMILIES else "document"
    else:
        source = part["source"]
        kind, name, family = source.get("mimeType") or ANY_TYPE, None, part["type"]
        data = source["value"] if source["type"] == "data" else None
        url = source["value"] if source["type"] == "url" else None
        if uploads and source["type"] == "file" and source.get("provider"):
            provider = source["provider"]
            return Attachment(kind, family=family, file_id=source["value"], provider=provider)
    for address in (data, url):
        if address and address.startswith("data:"):
            return _data_url(address, name, family)
    if data:
        return Attachment(kind, base64.b64decode(data), name=name, family=family)
    if not url:
        raise ValueError("it is empty, or known by an id only.")
    parsed = urlsplit(url)
    if parsed.scheme not in ("http", "https") or not parsed.hostname:
        raise ValueError("its address is not one of the web.")
    return Attachment(kind, url=url, name=name, family=family)


def _data_url(url: str, name: str | None, family: str) -> Attachment:
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma:
        raise ValueError("its data URL has no data.")
    kind = head.partition(";")[0] or "text/plain"
    raw = unquote_to_bytes(data)
    found = base64.b64decode(raw) if head.endswith(";base64") else raw
    return Attachment(kind, found, name=name, family=family)
