"""Models by name: ``provider/model`` or ``provider:model``, as the original and pydantic-ai write
them."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from copilotkit_django.agents.builtin.extras import (
    PROVIDER_EXTRAS,
    MissingExtra,
    importing,
    require_engine,
    require_provider,
)

if TYPE_CHECKING:
    from pydantic_ai.models import Model

#: Names of the original for what pydantic-ai calls otherwise.
ALIASES = {"gemini": "google", "google-gemini": "google", "vertex": "google-cloud"}

#: Where MiniMax is, unless MINIMAX_BASE_URL says otherwise.
MINIMAX_URL = "https://api.minimax.io/v1"

#: Models, and with them connections to providers, that one event loop keeps.
KEPT_MODELS = 64


class InvalidModel(ValueError):
    """A text names no model. Says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ModelName:
    """A provider as pydantic-ai calls it, and the name the provider has for the model."""

    provider: str
    model: str

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """The model in ``provider/model`` or ``provider:model``; the first of both signs counts.

        The provider is read without regard to case. Raises `InvalidModel`.
        """
        # Pydantic's gateway is a prefix of its own: gateway/openai:gpt-5.
        prefix, rest = "", text.strip()
        if rest.lower().startswith("gateway/"):
            prefix, rest = "gateway/", rest[len("gateway/") :]
        at = min((place for sign in "/:" if (place := rest.find(sign)) >= 0), default=-1)
        provider, model = rest[: max(at, 0)].strip().lower(), rest[at + 1 :].strip()
        if at < 0 or not provider or not model:
            raise InvalidModel(
                f"{text!r} names no model: write provider/model, such as 'openai/gpt-5'."
            )
        return cls(prefix + ALIASES.get(provider, provider), model)

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"

    def check(self) -> None:
        """Raise `InvalidModel` if there is no such provider, `MissingExtra` if it needs a package.

        The model is not looked at: only its provider knows which there are.
        """
        require_engine()
        require_provider(self.provider)
        if self.provider in PROVIDER_EXTRAS or self.provider.startswith("gateway/"):
            # Asking pydantic-ai imports it, which takes as long as starting Django does.
            return
        from pydantic_ai.providers import infer_provider_class

        try:
            infer_provider_class(self.provider)
        except ValueError:
            raise InvalidModel(f"{self.provider!r} is no known provider of models.") from None
        except ImportError as error:
            raise MissingExtra(f"{self.provider}: {error}", "builtin") from error


def build(name: ModelName, api_key: str | None = None) -> Model:
    """The model of that name. ``api_key`` wins over the environment.

    Raises `InvalidModel`, `MissingExtra`, and what the provider's client raises: without a key,
    for one.
    """
    require_engine()
    require_provider(name.provider)
    with importing:
        return _build(name, api_key)


def _build(name: ModelName, api_key: str | None) -> Model:
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model

    try:
        if name.provider == "minimax":
            return _minimax(name.model, api_key)
        return infer_model(str(name), provider_factory=lambda which: _provider(which, api_key))
    except ImportError as error:
        raise MissingExtra(f"{name.provider}: {error}", "builtin") from error
    except UserError as error:
        raise InvalidModel(str(error)) from error


def _provider(which: str, api_key: str | None) -> Any:
    from pydantic_ai.providers import infer_provider, infer_provider_class

    base_url = os.environ.get("GOOGLE_GENERATIVE_AI_BASE_URL") if which == "google" else None
    if which.startswith("gateway/") or not (api_key or base_url):
        return infer_provider(which)
    options: dict[str, Any] = {"api_key": api_key} if api_key else {}
    if base_url:
        # The original's variable names the version, which this client adds by itself.
        options["base_url"] = base_url.rstrip("/").removesuffix("/v1beta")
    return infer_provider_class(which)(**options)


def _minimax(model: str, api_key: str | None) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    key = api_key or os.environ.get("MINIMAX_API_KEY")
    if not key:
        raise InvalidModel("MiniMax needs a key: set MINIMAX_API_KEY, or give api_key.")
    url = os.environ.get("MINIMAX_BASE_URL") or MINIMAX_URL
    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=url, api_key=key))


class _Kept:
    """The models of one loop, the least recently used first."""

    def __init__(self) -> None:
        self.models: OrderedDict[tuple[ModelName, str | None], Model] = OrderedDict()
        #: Held while one is made: all runs that want it wait for the same.
        self.making = asyncio.Lock()


#: The models in use, with their connections, which belong to the loop that opened them.
_kept: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = weakref.WeakKeyDictionary()


async def get_model(name: ModelName, api_key: str | None = None) -> Model:
    """The model of that name, the same for all runs on this loop: they share its connections.

    Raises as `build` does.
    """
    kept = _kept.setdefault(asyncio.get_running_loop(), _Kept())
    models, key = kept.models, (name, api_key)
    if key not in models:
        async with kept.making:
            if key not in models:
                # Reading certificates takes 20 ms, importing the client of a provider a second.
                models[key] = await asyncio.to_thread(build, name, api_key)
        while len(models) > KEPT_MODELS:
            # Runs may still be using it: its connections are closed when it is collected.
            models.popitem(last=False)
    model = models[key]
    models.move_to_end(key)
    return model


async def close_models() -> None:
    """Close the connections this loop's models keep open. The next run opens new ones."""
    kept = _kept.pop(asyncio.get_running_loop(), None) or _Kept()
    for model in kept.models.values():
        # Leaving a model, as far as pydantic-ai is concerned, is what closes its client.
        async with model:
            pass
