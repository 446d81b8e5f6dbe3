"""Digests that stand for texts where a database would compare the texts too loosely."""

from __future__ import annotations

import hashlib


def digest_of(text: str) -> str:
    """A text of any length as 32 hex digits, the same for everybody who computes it."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def thread_key(scope: str, thread_id: str) -> str:
    """What identifies a thread among all scopes: 40 hex digits."""
    digest = hashlib.blake2b(digest_size=20)
    # An envelope may name ids that UTF-8 cannot hold; no thread has one.
    owner = scope.encode(errors="surrogatepass")
    # The length keeps ("a", "bc") and ("ab", "c") apart.
    digest.update(f"{len(owner)}:".encode() + owner + thread_id.encode(errors="surrogatepass"))
    return digest.hexdigest()
