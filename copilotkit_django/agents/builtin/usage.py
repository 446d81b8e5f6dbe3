"""How many tokens a run has cost, as its last event reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse


class UsageReport:
    """Adds up what the model calls of one run have cost, by provider and model."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], dict[str, Any]] = {}

    def add(self, response: ModelResponse) -> None:
        """Count one answer."""
        usage = response.usage
        counts = {
            "inputTokens": usage.input_tokens,
            "outputTokens": usage.output_tokens,
            "totalTokens": usage.input_tokens + usage.output_tokens,
            "reasoningTokens": usage.output_reasoning_tokens
            or usage.details.get("reasoning_tokens", 0),
            "cachedInputTokens": usage.cache_read_tokens,
            "cacheWriteInputTokens": usage.cache_write_tokens,
        }
        if not any(counts.values()):
            return
        provider, model = response.provider_name or "", response.model_name or ""
        names = {"provider": provider, "model": model}
        entry = self._entries.setdefault(
            (provider, model), {key: name for key, name in names.items() if name}
        )
        for key, count in counts.items():
            # Those every answer has are told even if they are 0.
            if count or key in ("inputTokens", "outputTokens", "totalTokens"):
                entry[key] = entry.get(key, 0) + count

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What was counted so far, in wire form."""
        return [dict(entry) for entry in self._entries.values()]

    def field(self) -> dict[str, Any]:
        """The ``usage`` of a terminal event; empty if nothing is known."""
        return {"usage": self.entries} if self._entries else {}
