"""The websocket doors: runs over a socket of our own, thread lists for the official client."""

from copilotkit_django.consumers.connect import ConnectConsumer
from copilotkit_django.consumers.realtime import RealtimeConsumer

__all__ = ["ConnectConsumer", "RealtimeConsumer"]
