"""Speech to text: the service a project plugs in, and one on OpenAI's interface."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from copilotkit_django.exceptions import CopilotKitError


class TranscriptionError(CopilotKitError):
    """A transcription that failed, with a reason the client knows.

    Raise a subclass in a service; any other exception is classified by its text, as the reference
    does. The message is shown to the client.
    """

    error = "provider_error"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    #: Whether trying again may help.
    retryable: ClassVar[bool] = True
    default: ClassVar[str] = "The transcription failed."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(self.default if message is None else message)

    def body(self) -> dict[str, Any]:
        return {**super().body(), "retryable": self.retryable}


class ServiceNotConfigured(TranscriptionError):
    error = "service_not_configured"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = False
    default = "Transcription service is not configured"


class InvalidAudioFormat(TranscriptionError):
    error = "invalid_audio_format"
    status = HTTPStatus.BAD_REQUEST
    retryable = False
    default = "The audio format is not supported."


class AudioTooLong(TranscriptionError):
    error = "audio_too_long"
    status = HTTPStatus.BAD_REQUEST
    retryable = False
    default = "Audio file is too long"


class AudioTooShort(TranscriptionError):
    error = "audio_too_short"
    status = HTTPStatus.BAD_REQUEST
    retryable = False
    default = "Audio file is too short"


class RateLimited(TranscriptionError):
    error = "rate_limited"
    status = HTTPStatus.TOO_MANY_REQUESTS
    default = "Rate limited. Please try again later."


class AuthFailed(TranscriptionError):
    error = "auth_failed"
    status = HTTPStatus.UNAUTHORIZED
    retryable = False
    default = "Authentication failed with transcription provider"


class ProviderUnreachable(TranscriptionError):
    error = "network_error"
    status = HTTPStatus.BAD_GATEWAY
    default = "The transcription provider cannot be reached."


class InvalidTranscriptionRequest(TranscriptionError):
    error = "invalid_request"
    status = HTTPStatus.BAD_REQUEST
    retryable = False


def classify(error: Exception) -> TranscriptionError | None:
    """What the protocol makes of a foreign exception, by its text; ``None``: a provider error."""
    text = str(error).lower()
    if any(sign in text for sign in ("rate", "429", "too many")):
        return RateLimited()
    if any(sign in text for sign in ("auth", "401", "api key", "unauthorized")):
        return AuthFailed()
    if any(sign in text for sign in ("too long", "duration", "length")):
        return AudioTooLong()
    return None


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording as a client sent it. ``mime_type`` may carry parameters (``;codecs=opus``)."""

    content: bytes
    mime_type: str
    filename: str

    @property
    def size(self) -> int:
        return len(self.content)


class TranscriptionService(abc.ABC):
    """Turns recordings into text; configure an instance or a class as TRANSCRIPTION_SERVICE."""

    @abc.abstractmethod
    async def transcribe(self, audio: Audio) -> str:
        """The words in ``audio``. Raise a `TranscriptionError` for a reason the client knows."""


class OpenAITranscriptionService(TranscriptionService):
    """Transcription by OpenAI or any provider with the same interface.

    Needs the extra ``copilotkit-django[openai]``. ``api_key`` and ``base_url`` default to the
    environment (``OPENAI_API_KEY``, ``OPENAI_BASE_URL``); ``client`` takes a configured
    ``openai.AsyncOpenAI`` instead. ``language`` (ISO 639-1), ``prompt`` and ``temperature`` are
    passed on when given.
    """

    def __init__(
        self,
        *,
        model: str = "whisper-1",
        language: str | None = None,
        prompt: str | None = None,
        temperature: float | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        client: Any = None,
    ) -> None:
        self.model = model
        self.options = {
            name: value
            for name, value in (
                ("language", language),
                ("prompt", prompt),
                ("temperature", temperature),
            )
            if value is not None
        }
        self._api_key = api_key
        self._base_url = base_url
        self._client = client

    async def transcribe(self, audio: Audio) -> str:
        import openai

        if self._client is None:
            self._client = openai.AsyncOpenAI(api_key=self._api_key, base_url=self._base_url)
        try:
            result = await self._client.audio.transcriptions.create(
                model=self.model,
                file=(audio.filename, audio.content, audio.mime_type),
                **self.options,
            )
        except openai.APIConnectionError as error:
            raise ProviderUnreachable from error
        except openai.RateLimitError as error:
            raise RateLimited from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise AuthFailed from error
        except openai.APIStatusError as error:
            refusal = _refused(error)
            if refusal is None:
                raise
            raise refusal from error
        text: str = result.text
        return text


def _refused(error: Any) -> TranscriptionError | None:
    """Why a provider does not want a recording, where it says so. Read before `classify` does,
    which takes everything about a length for too long."""
    text = str(error).lower()
    if "too short" in text or "too_short" in text:
        return AudioTooShort()
    if error.status_code == 413 or "longer than" in text:
        return AudioTooLong()
    if error.status_code == 415 or "file format" in text:
        return InvalidAudioFormat()
    return None
