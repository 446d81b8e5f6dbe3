"""The transcription service of the `transcribe` profiles: it hears file names and bytes."""

from __future__ import annotations

from copilotkit_django.transcription import Audio, TranscriptionService

#: A recording that begins with this makes the service fail with the text that follows.
FAILURE = "FAIL:"


class ProviderFailure(Exception):
    """What a provider raised."""


class FakeTranscription(TranscriptionService):
    async def transcribe(self, audio: Audio) -> str:
        text = audio.content.decode("latin-1")
        if text.startswith(FAILURE):
            raise ProviderFailure(text.removeprefix(FAILURE))
        described = f"{audio.size} bytes of {audio.mime_type} named {audio.filename}"
        return f"heard {described}: {text[:16]}"
