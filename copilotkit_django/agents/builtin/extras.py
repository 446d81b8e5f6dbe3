"""What has to be installed for an agent on a model, and what to install where it is missing."""

from __future__ import annotations

import threading
from importlib.util import find_spec

#: For each provider the module that speaks to it and the extra of ours that brings the module.
#: Providers not listed speak OpenAI's protocol, or bring a client of their own.
PROVIDER_EXTRAS = {
    "openai": ("openai", "openai"),
    "openai-chat": ("openai", "openai"),
    "openai-responses": ("openai", "openai"),
    "minimax": ("openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "google": ("google.genai", "google"),
    "google-cloud": ("google.genai", "google"),
}


#: Held while a large package is imported: its parts import each other in a circle, and of two
#: threads that go around it from different places one finds half a module.
importing = threading.Lock()


class MissingExtra(ImportError):
    """A package an agent needs is not installed. The text says what to install."""

    def __init__(self, needed: str, extra: str) -> None:
        super().__init__(f'{needed}: pip install "copilotkit_django[{extra}]"')
        self.extra = extra


def require_engine() -> None:
    """Raise `MissingExtra` if pydantic-ai is not installed. Looks, and imports nothing."""
    if not _is_installed("pydantic_ai"):
        raise MissingExtra("BuiltInAgent needs pydantic-ai", "builtin")


def require_provider(provider: str) -> None:
    """Raise `MissingExtra` if the client of a provider is not installed."""
    module, extra = PROVIDER_EXTRAS.get(provider, ("", ""))
    if module and not _is_installed(module):
        raise MissingExtra(f"Models of {provider} need the package {module}", extra)


def require_mcp() -> None:
    """Raise `MissingExtra` if the MCP client is not installed."""
    if not _is_installed("fastmcp"):
        raise MissingExtra("MCP servers need an MCP client", "builtin")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of google.genai, without any google package
        return False
