"""What the agents of the scenarios can do, before it is wrapped in the way of a framework."""

from __future__ import annotations

import threading

from django.contrib.auth.models import Group

PROMPT = "You are the assistant of these tests. The code word is Rosebud."

#: The threads tools have run on.
threads: list[threading.Thread] = []

#: What was wiped.
wiped: list[str] = []


def weather(city: str) -> str:
    """Tell the weather in a city."""
    threads.append(threading.current_thread())
    if city == "Nowhere":
        raise LookupError("There is no station at vault-7")
    Group.objects.get_or_create(name=city)
    return f"sunny in {city}"


def wipe(what: str) -> str:
    """Delete something for good."""
    wiped.append(what)
    return f"wiped {what}"
