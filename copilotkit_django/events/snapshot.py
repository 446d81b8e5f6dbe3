"""What a sequence of events amounts to: messages and state, as a client would hold them."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from copilotkit_django.events.compact import compact
from copilotkit_django.events.finalize import is_added_result
from copilotkit_django.events.state import UNKNOWN, fold

Event = dict[str, Any]
Message = dict[str, Any]

_STATE_AND_RUNS: Final = frozenset(
    ("STATE_SNAPSHOT", "STATE_DELTA", "RUN_STARTED", "RUN_FINISHED", "RUN_ERROR")
)
#: Messages that clients keep when a snapshot holds none of their role.
_KEPT_ROLES: Final = ("activity", "reasoning")


def messages(events: Iterable[Event]) -> list[Message]:
    """Return the messages of a thread, tool calls flattened to ``{id, name, args}``.

    Results that were only added to end a run properly are left out.
    """
    conversation = Conversation()
    for event in events:
        conversation.apply(event)
    return [_flat(message) for message in conversation.finish()]


def response_messages(events: Iterable[Event]) -> list[Message]:
    """Return the messages of one response: its last MESSAGES_SNAPSHOT, else what was streamed.

    Rebuilt messages are those of the response alone: a tool call shows up only if the message it
    belongs to was streamed before it ended, and user messages do not.
    """
    snapshot: list[Message] | None = None
    rebuilt: dict[str, Message] = {}
    deltas: dict[str, list[str]] = {}
    calls: dict[str, tuple[Event, list[str]]] = {}
    for event in events:
        kind = event["type"]
        if kind == "TEXT_MESSAGE_CONTENT":
            deltas.setdefault(event["messageId"], []).append(event["delta"])
        elif kind == "TEXT_MESSAGE_START":
            message_id = event["messageId"]
            rebuilt.setdefault(
                message_id,
                {"id": message_id, "role": event.get("role", "assistant"), "content": ""},
            )
        elif kind == "TOOL_CALL_START":
            calls[event["toolCallId"]] = (event, [])
        elif kind == "TOOL_CALL_ARGS" and event["toolCallId"] in calls:
            calls[event["toolCallId"]][1].append(event["delta"])
        elif kind == "TOOL_CALL_END" and event["toolCallId"] in calls:
            start, args = calls.pop(event["toolCallId"])
            parent = rebuilt.get(start.get("parentMessageId", ""))
            if parent is not None:
                call = {"id": start["toolCallId"], "name": start["toolCallName"]}
                parent.setdefault("toolCalls", []).append({**call, "args": "".join(args)})
        elif kind == "TOOL_CALL_RESULT":
            rebuilt[event["messageId"]] = {
                "id": event["messageId"],
                "role": "tool",
                "content": _joined(event["content"]),
                "toolCallId": event["toolCallId"],
            }
        elif kind == "MESSAGES_SNAPSHOT":
            snapshot = event["messages"]
    if snapshot is not None:
        return snapshot
    for message_id, parts in deltas.items():
        if message_id in rebuilt:
            rebuilt[message_id]["content"] += "".join(parts)
    return list(rebuilt.values())


def state(events: Iterable[Event]) -> dict[str, Any] | None:
    """Return the state after the events; None if there is none or it is not an object."""
    found: Any = None
    for event in compact(event for event in events if event["type"] in _STATE_AND_RUNS):
        if event["type"] == "STATE_SNAPSHOT":
            found = event["snapshot"]
    return found if isinstance(found, dict) else None


class Conversation:
    """The messages a client holds after the events applied so far, which are not changed."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._by_id: dict[str, Message] = {}
        self._calls: dict[str, tuple[Message, dict[str, Any]]] = {}
        # Joined when somebody looks: adding to a long text again and again takes quadratic time.
        self._texts: dict[str, list[str]] = {}
        self._args: dict[str, list[str]] = {}
        #: Kind and id of what the current run has begun.
        self._begun: set[tuple[str, str]] = set()

    def apply(self, event: Event) -> None:
        """Take the next event."""
        rule = _RULES.get(event["type"])
        if rule is not None:
            rule(self, event)

    def finish(self) -> list[Message]:
        """Return the messages in AG-UI form."""
        self._join()
        return self._messages

    def _join(self) -> None:
        for message_id, parts in self._texts.items():
            message = self._by_id[message_id]
            before = message.get("content")
            message["content"] = "".join([before if isinstance(before, str) else "", *parts])
        for call_id, parts in self._args.items():
            function = self._calls[call_id][1]["function"]
            function["arguments"] = "".join([function["arguments"], *parts])
        self._texts.clear()
        self._args.clear()

    def _append(self, message: Message) -> None:
        self._messages.append(message)
        self._learn(message)

    def _learn(self, message: Message) -> None:
        self._by_id[message["id"]] = message
        for call in message.get("toolCalls") or ():
            self._calls.setdefault(call["id"], (message, call))

    def _run_started(self, event: Event) -> None:
        self._begun.clear()
        before = dict(self._by_id)
        for message in (event.get("input") or {}).get("messages") or ():
            known = before.get(message["id"])
            if known is None:
                self._append(_own(message))
            elif known["role"] == message["role"] == "user":
                # Said before and edited since.
                known["content"] = message["content"]

    def _text_start(self, event: Event) -> None:
        self._begin(event["messageId"], event.get("role", "assistant"))

    def _reasoning_start(self, event: Event) -> None:
        self._begin(event["messageId"], "reasoning")

    def _begin(self, message_id: str, role: str) -> None:
        message = self._by_id.get(message_id)
        first = self._is_first("message", message_id)
        if message is None:
            self._append({"id": message_id, "role": role, "content": ""})
        elif first and message["role"] == role:
            self._texts.pop(message_id, None)
            message["content"] = ""

    def _is_first(self, kind: str, name: str) -> bool:
        """Whether this run names it for the first time.

        What an earlier run said under the same id, one that was interrupted for example, is then
        to be replaced.
        """
        if (kind, name) in self._begun:
            return False
        self._begun.add((kind, name))
        return True

    def _text(self, event: Event) -> None:
        message = self._by_id.get(event["messageId"])
        if message is not None and message["role"] != "activity":
            self._texts.setdefault(event["messageId"], []).append(event["delta"])

    def _call_start(self, event: Event) -> None:
        call_id = event["toolCallId"]
        first = self._is_first("call", call_id)
        if call_id in self._calls:
            function = self._calls[call_id][1]["function"]
            function["name"] = event["toolCallName"]
            if first:
                self._args.pop(call_id, None)
                function["arguments"] = ""
            return
        owner_id = event.get("parentMessageId") or call_id
        owner = self._by_id.get(owner_id)
        if owner is None or owner["role"] != "assistant":
            owner = {"id": owner_id if owner is None else call_id, "role": "assistant"}
            self._append(owner)
        function = {"name": event["toolCallName"], "arguments": ""}
        call = {"id": call_id, "type": "function", "function": function}
        owner["toolCalls"] = [*(owner.get("toolCalls") or ()), call]
        self._calls[call_id] = (owner, call)

    def _call_args(self, event: Event) -> None:
        if event["toolCallId"] in self._calls:
            self._args.setdefault(event["toolCallId"], []).append(event["delta"])

    def _call_result(self, event: Event) -> None:
        if is_added_result(event):
            return
        message = {
            "id": event["messageId"],
            "role": "tool",
            "content": event["content"],
            "toolCallId": event["toolCallId"],
        }
        known = self._by_id.get(message["id"])
        if self._is_first("result", message["id"]) and known and known["role"] == "tool":
            known.update(message)
            return
        position = len(self._messages)
        if event["toolCallId"] in self._calls:
            # Right after the call and its siblings' results: a result may come late, and models
            # refuse a history in which something stands between a call and its result.
            owner = self._calls[event["toolCallId"]][0]
            index = position
            while index and self._messages[index - 1] is not owner:
                index -= 1
            if index:
                position = index
                while position < len(self._messages) and self._messages[position]["role"] == "tool":
                    position += 1
        self._messages.insert(position, message)
        self._by_id.setdefault(message["id"], message)

    def _messages_snapshot(self, event: Event) -> None:
        self._join()
        fresh = {message["id"]: _own(message) for message in event["messages"]}
        roles = {message["role"] for message in fresh.values()}
        kept_roles = [role for role in _KEPT_ROLES if role not in roles]
        merged = [
            message if message["role"] in kept_roles else fresh[message["id"]]
            for message in self._messages
            if message["role"] in kept_roles or message["id"] in fresh
        ]
        known = {message["id"] for message in merged}
        merged += [message for message_id, message in fresh.items() if message_id not in known]
        self._messages, self._by_id, self._calls = merged, {}, {}
        for message in merged:
            self._learn(message)

    def _activity_snapshot(self, event: Event) -> None:
        message = self._by_id.get(event["messageId"])
        if message is None:
            self._append(
                {
                    "id": event["messageId"],
                    "role": "activity",
                    "activityType": event["activityType"],
                    "content": event["content"],
                }
            )
        elif message["role"] == "activity" and event.get("replace", True):
            message["activityType"] = event["activityType"]
            message["content"] = event["content"]

    def _activity_delta(self, event: Event) -> None:
        message = self._by_id.get(event["messageId"])
        if message is None or message["role"] != "activity":
            return
        delta = {"type": "STATE_DELTA", "delta": event["patch"]}
        content = fold(message["content"], [delta])
        if content is not UNKNOWN:
            message["activityType"] = event["activityType"]
            message["content"] = content


_RULES: Final[dict[str, Callable[[Conversation, Event], None]]] = {
    "RUN_STARTED": Conversation._run_started,
    "TEXT_MESSAGE_START": Conversation._text_start,
    "TEXT_MESSAGE_CONTENT": Conversation._text,
    "TOOL_CALL_START": Conversation._call_start,
    "TOOL_CALL_ARGS": Conversation._call_args,
    "TOOL_CALL_RESULT": Conversation._call_result,
    "MESSAGES_SNAPSHOT": Conversation._messages_snapshot,
    "ACTIVITY_SNAPSHOT": Conversation._activity_snapshot,
    "ACTIVITY_DELTA": Conversation._activity_delta,
    "REASONING_MESSAGE_START": Conversation._reasoning_start,
    "REASONING_MESSAGE_CONTENT": Conversation._text,
}


def _own(message: Message) -> Message:
    """Copy a message as deep as this module writes."""
    message = dict(message)
    if message.get("toolCalls"):
        message["toolCalls"] = [
            {**call, "function": dict(call["function"])} for call in message["toolCalls"]
        ]
    return message


def _flat(message: Message) -> Message:
    flat = {"id": message["id"], "role": message["role"]}
    if message.get("content") is not None:
        flat["content"] = message["content"]
    if message["role"] == "assistant" and message.get("toolCalls"):
        flat["toolCalls"] = [
            {
                "id": call["id"],
                "name": call["function"]["name"],
                "args": call["function"]["arguments"],
            }
            for call in message["toolCalls"]
        ]
    if "toolCallId" in message:
        flat["toolCallId"] = message["toolCallId"]
    return flat


def _joined(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")
