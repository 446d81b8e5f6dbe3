"""Reasoning that its provider wants back: sent to the page under its seal, and taken from there.

Anthropic refuses the result of a tool when the call was made after thinking and the thinking is not
there. A call of a tool of the page is answered by another run, whose conversation comes from the
client: it has the thinking if it was given its signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.messages import ThinkingPart

#: The provider whose signatures are good for the text they are of and for nothing else.
PROVIDER = "anthropic"

#: How pydantic-ai marks thinking that is nothing but its seal.
REDACTED = "redacted_thinking"


def sealed(part: ThinkingPart) -> str:
    """What to give the client with a piece of reasoning; empty if nothing."""
    if part.provider_name != PROVIDER or not part.signature:
        return ""
    kind = "redacted" if part.id == REDACTED else "signed"
    return f"{PROVIDER}:{kind}:{part.signature}"


def unsealed(message: Mapping[str, Any]) -> ThinkingPart | None:
    """The reasoning in a message a client sends back; ``None`` without a seal of ours.

    The provider checks it: one that was tampered with is refused there.
    """
    from pydantic_ai.messages import ThinkingPart

    provider, _, rest = (message.get("encryptedValue") or "").partition(":")
    kind, _, signature = rest.partition(":")
    if provider != PROVIDER or not signature:
        return None
    if kind == "redacted":
        return ThinkingPart("", id=REDACTED, signature=signature, provider_name=PROVIDER)
    return ThinkingPart(message["content"], signature=signature, provider_name=PROVIDER)
