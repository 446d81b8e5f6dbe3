from __future__ import annotations

import pytest

from tests.integration.conftest import alice, serve  # noqa: F401

from .speech_server import speech_server


@pytest.fixture
async def speech():
    async with speech_server() as server:
        yield server
