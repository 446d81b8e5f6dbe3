"""What a client makes of events: a plain reading of the protocol to hold compaction against."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

Event = dict[str, Any]


UNAPPLIABLE = (JsonPatchException, JsonPointerException, TypeError, ValueError, LookupError)


class Client:
    def __init__(self, state: Any = None) -> None:
        self.state: Any = {} if state is None else state
        self.messages: dict[str, Event] = {}
        self.calls: dict[str, Event] = {}
        self.activities: dict[str, Any] = {}
        self.seen: list[Event] = []
        """Events that are neither text, tool call, activity nor state, as they came."""

    def read(self, events: Iterable[Event]) -> Client:
        for event in events:
            method = getattr(self, "on_" + event["type"].lower(), None)
            if method is None:
                self.seen.append(event)
            else:
                method(event)
        return self

    def on_run_started(self, event: Event) -> None:
        self.seen.append(event)
        for message in event.get("input", {}).get("messages", []):
            if message["id"] not in self.messages:
                self._add(message)

    def on_messages_snapshot(self, event: Event) -> None:
        self.messages.clear()
        self.calls.clear()
        self.activities.clear()
        for message in event["messages"]:
            self._add(message)

    def on_text_message_start(self, event: Event) -> None:
        message = self.messages.setdefault(event["messageId"], {"role": "assistant", "text": ""})
        self._merge(message, event)

    def on_text_message_content(self, event: Event) -> None:
        message = self.messages[event["messageId"]]
        message["text"] += event["delta"]
        self._merge(message, event)

    def on_text_message_end(self, event: Event) -> None:
        self._merge(self.messages[event["messageId"]], event)

    def on_tool_call_start(self, event: Event) -> None:
        call_id = event["toolCallId"]
        if call_id not in self.calls:
            owner = event.get("parentMessageId", call_id)
            self.messages.setdefault(owner, {"role": "assistant", "text": ""})
            self.calls[call_id] = {"owner": owner, "arguments": ""}
        self.calls[call_id]["name"] = event["toolCallName"]
        self._merge(self.calls[call_id], event)

    def on_tool_call_args(self, event: Event) -> None:
        call = self.calls[event["toolCallId"]]
        call["arguments"] += event["delta"]
        self._merge(call, event)

    def on_tool_call_end(self, event: Event) -> None:
        self._merge(self.calls[event["toolCallId"]], event)

    def on_tool_call_result(self, event: Event) -> None:
        self.seen.append(event)
        self.messages[event["messageId"]] = {"role": "tool", "text": event["content"]}

    def on_activity_snapshot(self, event: Event) -> None:
        if event.get("replace", True) or event["messageId"] not in self.activities:
            self.activities[event["messageId"]] = {
                key: value for key, value in event.items() if key not in ("replace", "type")
            }

    def on_activity_delta(self, event: Event) -> None:
        activity = self.activities.get(event["messageId"])
        if activity is not None:
            with contextlib.suppress(*UNAPPLIABLE):
                patch = JsonPatch(copy.deepcopy(event["patch"]))
                content = patch.apply(copy.deepcopy(activity["content"]))
                self.activities[event["messageId"]] = {**activity, "content": content}

    def on_state_snapshot(self, event: Event) -> None:
        self.state = event["snapshot"]

    def on_state_delta(self, event: Event) -> None:
        with contextlib.suppress(
            JsonPatchException, JsonPointerException, TypeError, ValueError, LookupError
        ):
            self.state = JsonPatch(copy.deepcopy(event["delta"])).apply(copy.deepcopy(self.state))

    def _add(self, message: Event) -> None:
        content = message.get("content") or ""
        self.messages[message["id"]] = {"role": message["role"], "text": content}
        for call in message.get("toolCalls") or []:
            function = call["function"]
            self.calls[call["id"]] = {
                "owner": message["id"],
                "name": function["name"],
                "arguments": function["arguments"],
            }

    def _merge(self, target: Event, event: Event) -> None:
        if "metadata" in event:
            target["metadata"] = {**target.get("metadata", {}), **event["metadata"]}
