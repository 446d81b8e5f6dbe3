"""The THINKING events of early AG-UI."""

from __future__ import annotations

from copilotkit_django.events.legacy import LEGACY_TYPES, ThinkingTranslator
from copilotkit_django.events.order import RunOrder
from copilotkit_django.events.wire import KNOWN_TYPES, validate

from .builders import FINISHED, STARTED, delta


def test_translate__thinking() -> None:
    """Thinking becomes reasoning with an id of its own for every span and message."""
    translator, order = ThinkingTranslator(), RunOrder()
    events = [
        {"type": "THINKING_START", "title": "t"},
        {"type": "THINKING_TEXT_MESSAGE_START", "role": "assistant"},
        {"type": "THINKING_TEXT_MESSAGE_CONTENT", "delta": "x", "timestamp": 1},
        {"type": "THINKING_TEXT_MESSAGE_END"},
        {"type": "THINKING_END"},
    ]

    translated = [validate(translator.translate(event)) for event in events * 2]
    for event in (STARTED, *translated, FINISHED):
        order.check(event)

    span, message = translated[0]["messageId"], translated[1]["messageId"]
    assert translated[:5] == [
        {"type": "REASONING_START", "messageId": span},
        {"type": "REASONING_MESSAGE_START", "messageId": message, "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": message, "delta": "x", "timestamp": 1},
        {"type": "REASONING_MESSAGE_END", "messageId": message},
        {"type": "REASONING_END", "messageId": span},
    ]
    assert len({event["messageId"] for event in translated}) == 4


def test_translate__other_events() -> None:
    """Any other event is returned as it is."""
    event = delta("m1", "x")

    assert ThinkingTranslator().translate(event) is event


def test_legacy_types__not_known() -> None:
    """Untranslated they are unknown, and dropped like any unknown event."""
    assert not LEGACY_TYPES & KNOWN_TYPES
